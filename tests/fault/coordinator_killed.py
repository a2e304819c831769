# SPDX-License-Identifier: Apache-2.0
"""A coordinator that dies, alone or together with a rank: it comes back, and the job goes on."""
import os
import re
import signal

from fault import FAST, MODES, RANK, Place, check, has_rank, main, rank_of, wait_for


def coordinator_of(place):
    def find():
        for process_id in place.processes():
            try:
                with open(f"/proc/{process_id}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"muster", b"coordinator"]:
                return process_id
        return None
    return wait_for(find, "the coordinator")


def steps_of(run):
    return [int(step) for step in re.findall(r"step (\d+) of", run.out)]


def it_is_started_again_and_ranks_live_on():
    for mode in MODES:
        with Place() as place:
            run = place.run("-n", "3", *FAST, *mode, "--", RANK, "150", "10")
            run.waits_to_print("step 10 ")
            os.kill(coordinator_of(place), signal.SIGKILL)
            run.ends_with(0).says("the coordinator was ended by signal 9").says("live on")
            run.does_not_say("verdict:")
            check(steps_of(run) == list(range(1, 151)), run.everything())


def a_rank_lost_after_it_came_back_is_replaced():
    with Place() as place:
        run = place.run("-n", "3", *FAST, "--", RANK, "200", "10")
        run.waits_to_print("step 10 ")
        os.kill(coordinator_of(place), signal.SIGKILL)
        run.waits_to_say("the coordinator is back")
        os.kill(rank_of(run, 1), signal.SIGKILL)
        run.ends_with(0).says("verdict: slot 1 is lost").says("epoch 2 has 3 ranks")
        check(steps_of(run)[-1] == 200, run.everything())


def both_at_once():
    for _ in range(3):
        with Place() as place:
            run = place.run("-n", "3", *FAST, "--", RANK, "150", "10")
            run.waits_to_print("step 10 ")
            victim = rank_of(run, 2)
            os.kill(coordinator_of(place), signal.SIGKILL)
            os.kill(victim, signal.SIGKILL)
            run.ends_with(0).says("slot 2 is lost")
            check(steps_of(run)[-1] == 150, run.everything())


def parent_of(process_id):
    with open(f"/proc/{process_id}/stat", encoding="latin-1") as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])


def an_exit_that_nobody_heard_is_told_again():
    """The rank's keeper is stopped, so that the exit is seen only after its successor was started and the
    coordinator has died. The next coordinator asks for the process, which the launcher has forgotten."""
    for mode in MODES:
        with Place() as place:
            run = place.run("-n", "3", *FAST, "--gone-ms", "20000", *mode, "--", RANK, "150", "10")
            run.waits_to_print("step 10 ")
            victim = rank_of(run, 2)
            keeper = parent_of(victim)
            os.kill(keeper, signal.SIGSTOP)
            os.kill(victim, signal.SIGKILL)
            run.waits_to_say("slot 2 is started anew")
            wait_for(lambda: has_rank(run, 2, 1), "the successor")
            coordinator = coordinator_of(place)
            os.kill(coordinator, signal.SIGKILL)
            os.kill(keeper, signal.SIGCONT)
            run.ends_with(0).says("slot 2 is lost").does_not_say("abandoned")
            check(steps_of(run)[-1] == 150, run.everything())


def again_and_again():
    with Place() as place:
        run = place.run("-n", "2", *FAST, "--", RANK, "400", "10")
        run.waits_to_print("step 10 ")
        for _ in range(3):
            victim = coordinator_of(place)
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: not os.path.exists(f"/proc/{victim}"), "its end")
        run.ends_with(0)
        check(steps_of(run) == list(range(1, 401)), run.everything())


def a_named_one_comes_back_from_its_journal():
    with Place() as place:
        endpoint = f"ipc://{place.folder}/socket"
        options = ["--bind", endpoint, "--journal", place.path("journal"), "--ready-fd", "1",
                   "--events", place.path("events")]
        coordinator = place.coordinator(*options)
        coordinator.waits_to_print("ipc://")
        run = place.run("-n", "2", *FAST, "--coordinator", endpoint, "--", RANK, "200", "10")
        run.waits_to_print("step 10 ")
        coordinator.signal(signal.SIGKILL).ends_with(-signal.SIGKILL)
        run.waits_to_say("cannot be reached; the ranks go on")
        again = place.coordinator(*options)
        again.waits_to_print("ipc://")
        os.kill(rank_of(run, 0), signal.SIGKILL)
        run.ends_with(0).says("slot 0 is lost").says("the coordinator is back")
        check(steps_of(run)[-1] == 200, run.everything())
        again.signal(signal.SIGTERM).ends_with(0)
        check("slot 0 is lost" in again.read(place.path("events")), "the events lack the verdict")


def a_job_that_ended_meanwhile_is_not_begun_again():
    """The ranks end while no coordinator is there, and the next one has no journal. The launcher, stopped as long, is what
    tells it."""
    with Place() as place:
        endpoint = f"ipc://{place.folder}/socket"
        options = ["--bind", endpoint, "--journal", place.path("journal"), "--ready-fd", "1"]
        coordinator = place.coordinator(*options)
        coordinator.waits_to_print("ipc://")
        run = place.run("-n", "2", *FAST, "--coordinator", endpoint, "--", RANK, "20", "1",
                        "pause", "1", "10")
        run.waits_to_print("step 9 ")
        ranks = [rank_of(run, slot) for slot in (0, 1)]
        coordinator.signal(signal.SIGKILL).ends_with(-signal.SIGKILL)
        run.signal(signal.SIGSTOP)
        with open(place.path("go"), "w", encoding="utf-8"):
            pass
        wait_for(lambda: not set(ranks) & set(place.processes()), "the end of the ranks")
        os.unlink(place.path("journal"))
        again = place.coordinator(*options)
        again.waits_to_print("ipc://")
        run.signal(signal.SIGCONT)
        run.ends_with(0).does_not_say("starting a replacement").does_not_say("gave up")
        check(steps_of(run) == list(range(1, 21)), run.everything())
        again.signal(signal.SIGTERM).ends_with(0)


main(it_is_started_again_and_ranks_live_on, a_rank_lost_after_it_came_back_is_replaced,
     both_at_once, an_exit_that_nobody_heard_is_told_again, again_and_again,
     a_named_one_comes_back_from_its_journal, a_job_that_ended_meanwhile_is_not_begun_again)
