# SPDX-License-Identifier: Apache-2.0
"""A job over two hosts whose clocks began two months apart (a time namespace), and what is told of a loss."""
import json
import os
import shutil
import signal
import subprocess
import sys

from fault import LIMIT, MUSTER, RANK, Place, check, main, rank_of

AHEAD_S = 5000000
ELSEWHERE = ["unshare", "--time", "--monotonic", str(AHEAD_S), "--fork"]


def postmortem(place, *arguments):
    done = subprocess.run([MUSTER, "postmortem", *arguments], capture_output=True, text=True,
                          timeout=LIMIT, check=False, cwd=place.folder)
    check(done.returncode == 0, done.stdout + done.stderr)
    return done.stdout


def times_of_another_host_are_laid_on_one_axis():
    with Place() as place:
        coordinator = place.coordinator("--bind", "tcp://127.0.0.1:*", "--ready-fd", "1")
        endpoint = coordinator.waits_to_print(r"tcp://\S+").group(0)
        options = ["-n", "4", "--heartbeat-ms", "50", "--coordinator", endpoint]
        runs = []
        for name, slots, before in [("a", "0-1", []), ("b", "2-3", ELSEWHERE)]:
            place.environment["MUSTER_HOST_ID"] = name
            runs.append(place.run(*options, "--slots", slots, "--trace", place.path(name), "--", RANK,
                                  "80", "20", before=before))
        runs[0].waits_to_print("step 20 ")
        os.kill(rank_of(runs[0], 3), signal.SIGKILL)
        for run in runs:
            run.ends_with(0).does_not_say(r"release \d{6,}").does_not_say(r"rebuild \d{6,}")
        coordinator.signal(signal.SIGTERM).ends_with(0)
        report = json.loads(postmortem(place, "--json", place.path("a"), place.path("b")))
        check(len(report["recoveries"]) == 1, report)
        steps = report["recoveries"][0]["steps"]
        check(all(0 <= steps[name] - steps["verdict_ns"] < LIMIT * 10**9
                  for name in ["agreed_ns", "established_ns", "resumed_ns", "first_batch_ns"]), steps)
        traced = 0
        for ring in report["rings"]:
            clock, away = ring["clock"], ring["slot"] >= 2
            if not ring["event_count"]:
                continue
            traced += 1
            check(clock["state"] == ("shifted" if away else "same"), ring)
            check(abs(clock["ahead_ns"] - away * AHEAD_S * 10**9) <= clock["uncertainty_ns"], ring)
        if traced:
            text = postmortem(place, place.path("a"), place.path("b"))
            check("s ahead of the coordinator's, give or take" in text, text)
        else:
            print("note: nothing was traced here; only the notes were looked at")


def why_not():
    """Why this machine cannot show it, or None."""
    if not shutil.which("unshare"):
        return "there is no unshare (util-linux)"
    tried = subprocess.run([*ELSEWHERE, sys.executable, "-c", "import time; print(time.monotonic())"],
                           capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        return f"no time namespace can be made: {tried.stderr.strip()}"
    if float(tried.stdout) < AHEAD_S:
        return "a time namespace does not shift the clock"
    return None


reason = why_not()
if reason:
    print(f"skipped: {reason}")
    sys.exit(77)
main(times_of_another_host_are_laid_on_one_axis)
