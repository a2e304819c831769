# SPDX-License-Identifier: Apache-2.0
"""Slots that were shrunk away are filled again at a committed step, and nobody loses one by it."""
import os
import re
import signal

from fault import FAST, RANK, Place, check, main, rank_of, wait_for

GROWING = [*FAST, "--on-loss", "shrink", "--min-ranks", "1", "--grow", "step"]


def steps_of(run):
    """(step, epoch) in the order in which the root said them."""
    return [tuple(map(int, pair)) for pair in re.findall(r"step (\d+) of epoch (\d+)", run.out)]


def goes_on_from_the_last_step(run, epoch, since):
    """Of those of epoch `since`. One that the root itself did not see committed may be missing, none is there
    twice."""
    said = steps_of(run)
    before = max(step for step, of in said if since <= of < epoch)
    after = min(step for step, of in said if of == epoch)
    check(before < after <= before + 2, f"epoch {epoch} begins at {after}, the last was {before}: "
          f"{run.everything()}")


def a_spare_is_taken_in():
    with Place() as place:
        run = place.run("-n", "3", "--spares", "1", *GROWING, "--events", place.path("events"), "--",
                        RANK, "100000", "10")
        run.waits_for("a spare joined", lambda: run.read(place.path("events")))
        run.waits_to_print("step 10 ")
        os.kill(rank_of(run, 2), signal.SIGKILL)
        run.waits_to_say("the job grows by 1 rank")
        run.says("epoch 2 has 2 ranks").says("a spare takes slot 2")
        run.waits_to_print("of epoch 3")
        goes_on_from_the_last_step(run, 3, since=1)
        run.waits_to_say("epoch 3 has 3 ranks")
        run.signal(signal.SIGTERM).ends_with(128 + signal.SIGTERM)


def a_host_comes_back():
    with Place() as place:
        endpoint = f"ipc://{place.folder}/socket"
        coordinator = place.coordinator("--bind", endpoint, "--ready-fd", "1", "--events",
                                        place.path("events"))
        coordinator.waits_to_print("ipc://")
        shared = ["-n", "4", *GROWING, "--coordinator", endpoint]
        one = place.run(*shared, "--slots", "0-1", "--", RANK, "100000", "10")
        other = place.run(*shared, "--slots", "2-3", "--", RANK, "100000", "10")
        one.waits_to_print("step 10 ")
        other.signal(signal.SIGKILL).ends_with(-signal.SIGKILL)
        shrunk = one.waits_to_say(r"epoch (\d+) has 2 ranks")
        one.waits_to_print(f"of epoch {shrunk[1]}")
        again = place.run(*shared, "--slots", "2-3", "--", RANK, "100000", "10")
        grown = one.waits_to_say(r"epoch (\d+) has 4 ranks")
        epoch = int(grown[1])
        wait_for(lambda: any(of == epoch for _, of in steps_of(one)), f"a step of epoch {epoch}")
        # Two of one machine are lost at once, and with them the mirrors of each other's state.
        goes_on_from_the_last_step(one, epoch, since=int(shrunk[1]))
        one.says("the job grows by 2 ranks")
        for run in (again, one):
            run.signal(signal.SIGTERM).ends_with(128 + signal.SIGTERM)
        coordinator.signal(signal.SIGTERM).ends_with(0)


main(a_spare_is_taken_in, a_host_comes_back)
