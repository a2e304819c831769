# SPDX-License-Identifier: Apache-2.0
"""A launcher that is killed leaves no process behind; the next start removes its folder."""
import os
import signal

from fault import MODES, RANK, Place, check, main


def sigkill_takes_everything_along():
    tree = "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'sleep 1000 & wait' &); echo up; wait"
    for mode in MODES:
        with Place() as place:
            run = place.run("-n", "3", "--spares", "1", *mode, "--", "sh", "-c", tree)
            for slot in range(3):
                run.waits_to_print(rf"\[{slot}.0\] up")
            check(len(place.processes()) > 12, "the ranks' trees are not there")
            run.signal(signal.SIGKILL)
            place.nothing_is_left(files_too=False)
            # Its folder is all that is left, and the next one takes it away.
            check(len(os.listdir(place.runtime)) == 1, "one folder was expected")
            place.run("-n", "1", "--", "true").ends_with(0)


def sigkill_in_the_middle_of_a_job():
    for mode in MODES:
        with Place() as place:
            run = place.run("-n", "3", *mode, "--", RANK, "100000", "1")
            run.waits_to_print("step 20 ")
            run.signal(signal.SIGKILL)
            place.nothing_is_left(files_too=False)
            place.run("-n", "1", "--", "true").ends_with(0)


def sigkill_at_the_very_start():
    for _ in range(10):
        with Place() as place:
            run = place.run("-n", "4", "--", "sleep", "1000")
            run.waits_to_say("grandchildren")
            run.signal(signal.SIGKILL)
            place.nothing_is_left(files_too=False)
            place.run("-n", "1", "--", "true").ends_with(0)


main(sigkill_takes_everything_along, sigkill_in_the_middle_of_a_job, sigkill_at_the_very_start)
