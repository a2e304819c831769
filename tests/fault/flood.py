# SPDX-License-Identifier: Apache-2.0
"""A coordinator under a flood of what nobody should say: it serves on, and other jobs notice nothing.

Alone: flood.py --count 10000000 [--seed S] [TEST...]; the everyday and CI's counts are the defaults."""
import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading

from fault import BUILD, FAST, RANK, Place, check, main, rank_of
from keys import a_coordinator, allow, keys, with_keys

FLOOD = os.path.join(BUILD, "bin", "flood")
LOSSES = 4
options = argparse.Namespace(count=100000, seed=20)


def floods(place, endpoint, *arguments, count=None):
    return subprocess.Popen([FLOOD, "--endpoint", endpoint, "--count", str(count or options.count),
                             "--seed", str(options.seed), *arguments], env=place.environment,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ends_well(flood):
    said = flood.communicate(timeout=7200)[0]
    check(flood.returncode == 0, f"the flood ended with {flood.returncode}: {said}")
    return said.strip()


def resident_kb(run):
    with open(f"/proc/{run.process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))


def serves(place, endpoint, *more):
    place.run("-n", "2", *FAST, "--job", "afterwards", "--coordinator", endpoint, *more, "--", RANK,
              "5", "1").ends_with(0)


def ends_by_itself(coordinator):
    """And not by an assertion before."""
    check(coordinator.process.poll() is None, coordinator.everything())
    return coordinator.signal(signal.SIGTERM).ends_with(0)


def every_message_is_survived():
    with Place() as place:
        coordinator = place.coordinator("--bind", "tcp://127.0.0.1:*", "--ready-fd", "1",
                                        "--journal", place.path("journal"), "--journal-no-sync")
        endpoint = coordinator.waits_to_print(r"tcp://\S+").group(0)
        said = ends_well(floods(place, endpoint))
        # Also a wait without an answer is one of a connection that was lost, and there are few.
        answered, waits = map(int, re.search(r"(\d+) of (\d+) waits", said).groups())
        check(answered > 0 and waits - answered < 3, said)
        serves(place, endpoint)
        print(f"        {said}; resident {resident_kb(coordinator)} KiB, journal "
              f"{os.path.getsize(place.path('journal'))} bytes")
        check(resident_kb(coordinator) < 600 * 1024, "memory is held without end")
        check(os.path.getsize(place.path("journal")) < 64 << 20, "the journal grows without end")
        ends_by_itself(coordinator).says("refused: ").says("messages that were none")


def with_keys_nothing_changes():
    with Place() as place:
        keys(place, "coordinator", "train", "stranger")
        allow(place, "train", "stranger")
        coordinator, endpoint = a_coordinator(place, "tcp://127.0.0.1:*", "--journal-no-sync")
        said = ends_well(floods(place, endpoint, "--keys", place.path("coordinator.public"),
                                place.path("stranger.secret")))
        print(f"        {said}")
        serves(place, endpoint, *with_keys(place, "train"))
        ends_by_itself(coordinator).says("messages that were none")


def knocking_at_the_port_is_survived():
    with Place() as place:
        keys(place, "coordinator", "train")
        allow(place, "train")
        coordinator, endpoint = a_coordinator(place, "tcp://127.0.0.1:*", "--journal-no-sync")
        said = ends_well(floods(place, endpoint, "--raw", count=max(options.count // 50, 500)))
        print(f"        {said}")
        serves(place, endpoint, *with_keys(place, "train"))
        ends_by_itself(coordinator).says("no peer of Muster's|plain connections")


def figures(path):
    """Kill to verdict and verdict to release, in ms, of each recovery in a report."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    return report


def losses(place, endpoint, name, flood_for=None):
    """A job that loses ranks; whether a flood goes on beside it must not show in its verdicts."""
    report = place.path(f"report.{name}")
    run = place.run("-n", "3", *FAST, "--job", name, "--report", report, "--coordinator", endpoint,
                    "--", RANK, "400", "5")
    for loss in range(LOSSES):
        run.waits_to_print(f"step {20 + 80 * loss} ")
        os.kill(rank_of(run, loss % 3, loss // 3), signal.SIGKILL)
    run.ends_with(0)
    verdicts = re.findall(r"verdict: slot (\d+) is lost", run.err)
    check(len(verdicts) == LOSSES, f"{len(verdicts)} verdicts\n{run.everything()}")
    check([int(slot) for slot in verdicts] == [loss % 3 for loss in range(LOSSES)],
          run.everything())
    return figures(report)


def numbers(report, key, found):
    if isinstance(report, dict):
        for name, value in report.items():
            if name == key and isinstance(value, (int, float)):
                found.append(value)
            numbers(value, key, found)
    elif isinstance(report, list):
        for value in report:
            numbers(value, key, found)
    return found


def a_flooding_job_starves_no_other():
    """The same losses without a flood and beside three that never wait: no verdict that is not due, and
    the figures are printed side by side."""
    with Place() as place:
        coordinator = place.coordinator("--bind", "tcp://127.0.0.1:*", "--ready-fd", "1",
                                        "--journal", place.path("journal"), "--journal-no-sync")
        endpoint = coordinator.waits_to_print(r"tcp://\S+").group(0)
        quiet = losses(place, endpoint, "quiet")
        stop = threading.Event()
        flooded = []

        def again():
            while not stop.is_set():
                flooded.append(ends_well(floods(place, endpoint, "--fast", count=50000)))

        threads = [threading.Thread(target=again) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            loud = losses(place, endpoint, "loud")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        for key in sorted({*keys_of(quiet)} & {*keys_of(loud)}):
            values = [numbers(report, key, []) for report in (quiet, loud)]
            if all(len(value) >= LOSSES for value in values):
                print(f"        {key}: median {statistics.median(values[0]):.3f} alone, "
                      f"{statistics.median(values[1]):.3f} beside the flood")
        check(flooded, "there was no flood")
        print(f"        {len(flooded)} floods of 50000")
        ends_by_itself(coordinator)


def keys_of(report):
    if isinstance(report, dict):
        for name, value in report.items():
            if name.endswith("_ms"):
                yield name
            yield from keys_of(value)
    elif isinstance(report, list):
        for value in report:
            yield from keys_of(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=options.count)
    parser.add_argument("--seed", type=int, default=options.seed)
    parser.add_argument("tests", nargs="*")
    parser.parse_args(namespace=options)
    sys.argv[1:] = options.tests
    main(every_message_is_survived, with_keys_nothing_changes, knocking_at_the_port_is_survived,
         a_flooding_job_starves_no_other)
