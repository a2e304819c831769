# SPDX-License-Identifier: Apache-2.0
"""Signals are passed on to the ranks; what does not end in the grace is killed."""
import signal
import time

from fault import MODES, RANK, Place, check, main, wait_for


def ranks_get_the_signal_and_may_end_by_themselves():
    script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    for mode in MODES:
        with Place() as place:
            run = place.run("-n", "2", *mode, "--", "sh", "-c", script)
            for slot in range(2):
                run.waits_to_print(rf"\[{slot}.0\] up")
            run.signal(signal.SIGTERM).ends_with(128 + signal.SIGTERM)
            check(run.out.count("bye") == 2, run.everything())


def those_that_ignore_it_are_killed_after_the_grace():
    script = "trap '' TERM INT HUP; echo up; while :; do sleep 0.05; done"
    for mode in MODES:
        with Place() as place:
            run = place.run("-n", "2", "--grace-ms", "300", *mode, "--", "sh", "-c", script)
            run.waits_to_print(r"\[1.0\] up")
            run.signal(signal.SIGTERM).ends_with(128 + signal.SIGTERM)
            run.says("was ended by signal 9")


def a_second_sigint_does_not_wait():
    script = "trap '' TERM INT; echo up; while :; do sleep 0.05; done"
    with Place() as place:
        run = place.run("-n", "2", "--grace-ms", "3600000", "--", "sh", "-c", script)
        run.waits_to_print(r"\[1.0\] up")
        run.signal(signal.SIGINT).waits_to_say("SIGINT: passed on")
        run.signal(signal.SIGINT).ends_with(128 + signal.SIGINT).says("killed")


def nothing_is_replaced_at_the_end():
    with Place() as place:
        run = place.run("-n", "3", "--grace-ms", "2000", "--", RANK, "100000", "1")
        run.waits_to_print("step 10 ")
        run.signal(signal.SIGTERM).ends_with(128 + signal.SIGTERM)
        check("[0.1]" not in run.out and "[1.1]" not in run.out, run.everything())


def stopped_ranks_end_too():
    with Place() as place:
        run = place.run("-n", "2", "--grace-ms", "300", "--", "sh", "-c",
                        "echo up; kill -STOP $$; echo no")
        run.waits_to_print(r"\[0.0\] up")
        run.waits_to_print(r"\[1.0\] up")
        time.sleep(0.1)
        run.signal(signal.SIGTERM).ends_with(128 + signal.SIGTERM)


def a_stopped_launcher_loses_nobody():
    with Place() as place:
        run = place.run("-n", "2", "--", RANK, "60", "10")
        run.waits_to_print("step 5 ")
        run.signal(signal.SIGSTOP)
        time.sleep(0.5)
        run.signal(signal.SIGCONT).ends_with(0)
        wait_for(lambda: "step 60 " in run.out, "the last step")


main(ranks_get_the_signal_and_may_end_by_themselves,
     those_that_ignore_it_are_killed_after_the_grace, a_second_sigint_does_not_wait,
     nothing_is_replaced_at_the_end, stopped_ranks_end_too, a_stopped_launcher_loses_nobody)
