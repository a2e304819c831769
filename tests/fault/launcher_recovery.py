# SPDX-License-Identifier: Apache-2.0
"""A launcher brings a job through the loss of a rank, and tells how long it took."""
import json
import os
import re
import signal

from fault import FAST, MODES, RANK, Place, check, main, rank_of


def drilled(place, *arguments, ranks=3, steps=60):
    report = place.path("report.json")
    run = place.run("-n", str(ranks), *FAST, "--report", report, *arguments, "--", RANK,
                    str(steps), "5")
    run.ends_with(0)
    check(f"step {steps} " in run.out, run.everything())
    with open(report, encoding="utf-8") as file:
        return run, json.load(file)


def every_kind_of_loss_is_timed():
    for number in ("KILL", "STOP"):
        for policy in ("replace", "shrink"):
            for mode in MODES:
                with Place() as place:
                    run, report = drilled(place, "--on-loss", policy, *mode, "--drill",
                                          f"slot=1,step=10,signal={number}")
                    check(len(report["recoveries"]) == 1, run.everything())
                    recovery = report["recoveries"][0]
                    loss = recovery["losses"][0]
                    check(recovery["complete"] and loss["slot"] == 1 and loss["by_drill"], report)
                    members = 3 if policy == "replace" else 2
                    check(recovery["members"] == members, report)
                    for name in ("detect_ms", "release_ms", "rebuild_ms", "first_batch_ms"):
                        check(recovery[name] is not None and recovery[name] >= 0, (name, report))
                    check((recovery["start_ms"] is not None) == (policy == "replace"), report)
                    run.says("timing: detect")
                    place.nothing_is_left()


def the_root_twice_in_a_row():
    for policy in ("replace", "shrink"):
        with Place() as place:
            run, report = drilled(place, "--on-loss", policy, "--drill",
                                  "slot=0,step=10,signal=KILL,again=20")
            check(len(report["recoveries"]) == 2, run.everything())


def a_spare_takes_the_slot():
    for mode in MODES:
        with Place() as place:
            report = place.path("report.json")
            run = place.run("-n", "3", "--spares", "1", *FAST, *mode, "--report", report,
                            "--events", place.path("events"), "--", RANK, "200", "5")
            run.waits_for("a spare joined", lambda: run.read(place.path("events")))
            run.waits_to_print("step 10 ")
            os.kill(rank_of(run, 2), signal.SIGKILL)
            run.ends_with(0).says("a spare takes slot 2")
            with open(report, encoding="utf-8") as file:
                recovery = json.load(file)["recoveries"][0]
            check(recovery["spare"] and recovery["start_ms"] is None, recovery)
            check("step 200 " in run.out, run.everything())


def a_rank_behind_a_shell():
    """What is killed is the shell; the rank below it is gone with it."""
    with Place() as place:
        run = place.run("-n", "3", *FAST, "--drill", "slot=1,step=10,signal=KILL", "--", "sh", "-c",
                        f"{RANK} 60 5; exit $?")
        run.ends_with(0).says("slot 1 is lost")
        check("step 60 " in run.out, run.everything())


def the_trace_folder_tells_of_the_job():
    with Place() as place:
        trace = place.path("trace")
        drilled(place, "--trace", trace, "--drill", "slot=1,step=10,signal=KILL")
        with open(os.path.join(trace, "job.json"), encoding="utf-8") as file:
            job = json.load(file)
        check(job["over"] and job["exit_code"] == 0 and job["slot_count"] == 3, job)
        lives = [(life["slot"], life["incarnation"]) for life in job["processes"]]
        check(sorted(lives) == [(0, 0), (1, 0), (1, 1), (2, 0)], job)
        dead = [life for life in job["processes"] if life.get("signal") == 9]
        check([life["slot"] for life in dead] == [1], job)
        with open(os.path.join(trace, "events.jsonl"), encoding="utf-8") as file:
            kinds = {json.loads(line)["kind"] for line in file}
        check({"verdict", "released", "agreed", "established", "resumed"} <= kinds, kinds)


def two_launchers_share_a_job():
    with Place() as place:
        endpoint = f"ipc://{place.folder}/socket"
        coordinator = place.coordinator("--bind", endpoint, "--ready-fd", "1")
        coordinator.waits_to_print("ipc://")
        shared = ["-n", "4", *FAST, "--coordinator", endpoint]
        one = place.run(*shared, "--slots", "0-1", "--", RANK, "60", "5")
        other = place.run(*shared, "--slots", "2-3", "--drill", "slot=3,step=10,signal=KILL", "--",
                          RANK, "60", "5")
        other.ends_with(0).says("timing")
        one.ends_with(0).says("slot 3 is lost")
        check("step 60 " in one.out, one.everything())
        check("[2.0]" not in one.out + one.err and not re.search(r"\[[01]\.", other.err), "mixed")
        coordinator.signal(15).ends_with(0)


def a_new_launcher_takes_over_from_a_killed_one():
    with Place() as place:
        endpoint = f"ipc://{place.folder}/socket"
        coordinator = place.coordinator("--bind", endpoint, "--ready-fd", "1")
        coordinator.waits_to_print("ipc://")
        shared = ["-n", "4", *FAST, "--coordinator", endpoint]
        one = place.run(*shared, "--slots", "0-1", "--", RANK, "100", "10")
        other = place.run(*shared, "--slots", "2-3", "--", RANK, "100", "10")
        one.waits_to_print("step 10 ")
        other.signal(signal.SIGKILL).ends_with(-signal.SIGKILL)
        one.waits_to_say("slot 3 is lost")
        again = place.run(*shared, "--slots", "2-3", "--", RANK, "100", "10")
        again.ends_with(0)
        one.ends_with(0)
        check("step 100 " in one.out, one.everything())
        coordinator.signal(15).ends_with(0)


def a_taken_slot_is_refused():
    with Place() as place:
        endpoint = f"ipc://{place.folder}/socket"
        coordinator = place.coordinator("--bind", endpoint, "--ready-fd", "1")
        coordinator.waits_to_print("ipc://")
        shared = ["-n", "2", *FAST, "--coordinator", endpoint]
        one = place.run(*shared, "--", RANK, "100000", "5")
        one.waits_to_print("step 5 ")
        place.run(*shared, "--", RANK, "10", "0").ends_with(4).says("belong to a launcher")
        one.signal(15).ends_with(128 + 15)
        coordinator.signal(15).ends_with(0)


main(every_kind_of_loss_is_timed, the_root_twice_in_a_row, a_spare_takes_the_slot,
     a_rank_behind_a_shell, the_trace_folder_tells_of_the_job, two_launchers_share_a_job,
     a_new_launcher_takes_over_from_a_killed_one, a_taken_slot_is_refused)
