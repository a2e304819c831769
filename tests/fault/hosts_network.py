# SPDX-License-Identifier: Apache-2.0
"""A job over several hosts: namespaces with links that are cut, hosts that vanish, launchers that come back. Every rank
checks every byte that it is given, and all end with the digest of an undisturbed run."""
import os
import re
import signal
import subprocess
import sys

import hosts
from fault import BUILD, MUSTER, Place, Run, check, main, wait_for

RANK = os.path.join(BUILD, "bin", "rank_campaign")
PORT = 7400
# Deadlines of a job whose losses are noticed soon.
FAST = ["--heartbeat-ms", "100", "--suspect-ms", "500", "--silence-ms", "2000",
        "--reconnect-ms", "1000", "--batch-ms", "60000", "--gone-ms", "1000", "--start-ms", "20000",
        "--rebuild-ms", "40000"]


class HostRun(Run):
    """A muster command on one of the hosts."""

    def __init__(self, place, host, arguments):
        self.place = place
        self.out_path = place.path(f"out.{len(place.started)}")
        self.err_path = place.path(f"err.{len(place.started)}")
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.process = subprocess.Popen(
                host.command([MUSTER, *arguments]), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env={**place.environment, **host.environment()}, cwd=place.folder,
                start_new_session=True)
        place.started.append(self)


class Job:
    """A coordinator on host c, and ranks on the others."""

    def __init__(self, place, network, slots, steps=60, step_ms=20, policy=()):
        self.place = place
        self.network = network
        self.slots = slots
        self.steps = steps
        self.seed = 5
        self.policy = list(policy)
        self.step_ms = step_ms
        self.endpoint = f"tcp://{network['c'].address}:{PORT}"
        self.coordinator = HostRun(place, network["c"], [
            "coordinator", "--bind", self.endpoint, "--journal", place.path("journal"),
            "--ready-fd", "1", "--events", place.path("events")])
        self.coordinator.waits_to_print("tcp://")
        self.runs = []

    def launch(self, letter, slots, *options):
        run = HostRun(self.place, self.network[letter], [
            "run", "-n", str(self.slots), "--slots", slots, "--coordinator", self.endpoint, *FAST,
            *self.policy, *options, "--", RANK, "--steps", str(self.steps), "--seed",
            str(self.seed), "--step-ms", str(self.step_ms), "--folder", self.place.folder])
        self.runs.append(run)
        return run

    def events(self):
        return Run.read(self.place.path("events"))

    def output(self):
        return "".join(run.out for run in self.runs)

    def everything(self):
        return "".join(run.everything() for run in self.runs) + "--- events\n" + self.events()

    def reaches(self, step):
        self.waits_for(lambda: re.search(rf"campaign: step={step}\b", self.output()), f"step {step}")

    def waits_for(self, condition, what):
        try:
            return wait_for(condition, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.everything()}") from None

    def waits_for_event(self, pattern):
        return self.waits_for(lambda: re.search(pattern, self.events()), f"the event /{pattern}/")

    def no_event(self, pattern):
        check(not re.search(pattern, self.events()), f"/{pattern}/ is there\n{self.everything()}")

    def ends(self, *runs, slots):
        """The launchers end well, and the ranks of these slots with the right digest."""
        for run in runs:
            run.ends_with(0)
        expected = subprocess.run(
            [RANK, "--steps", str(self.steps), "--seed", str(self.seed), "--digest", str(self.slots)],
            check=True, capture_output=True, text=True).stdout.strip()
        wrong = re.search(r"campaign: (WRONG|UNEXPECTED).*", self.output())
        check(wrong is None, f"{wrong and wrong[0]}\n{self.everything()}")
        done = dict(re.findall(r"campaign: done slot=(\d+) step=\d+ digest=(\w+)", self.output()))
        check(sorted(done) == sorted(str(slot) for slot in slots) and set(done.values()) == {expected},
              f"done: {done}, expected {expected} of {slots}\n{self.everything()}")
        self.coordinator.signal(signal.SIGTERM).ends_with(0)


def rank_of(job, letter, slot, incarnation=0):
    wanted = {f"MUSTER_SLOT={slot}".encode(), f"MUSTER_INCARNATION={incarnation}".encode()}
    for process_id in job.network[letter].processes():
        try:
            with open(f"/proc/{process_id}/environ", "rb") as file:
                found = wanted <= set(file.read().split(b"\0"))
            with open(f"/proc/{process_id}/cmdline", "rb") as file:
                if found and file.read().startswith(RANK.encode()):
                    return process_id
        except OSError:
            continue
    raise AssertionError(f"slot {slot} has no process on host {letter}")


def over_two_hosts(**options):
    """Ranks 0 and 1 on host a, 2 and 3 on b, and the coordinator on c."""
    def given(test):
        def run():
            with hosts.Network("abc") as network, Place() as place:
                job = Job(place, network, 4, **options)
                a = job.launch("a", "0-1")
                b = job.launch("b", "2-3")
                test(job, a, b)
        run.__name__ = test.__name__
        return run
    return given


@over_two_hosts()
def undisturbed(job, a, b):
    job.ends(a, b, slots=range(4))
    job.no_event('"kind":"(suspected|verdict)"')


@over_two_hosts()
def a_killed_rank_is_replaced(job, a, b):
    job.reaches(10)
    os.kill(rank_of(job, "b", 2), signal.SIGKILL)
    job.ends(a, b, slots=range(4))
    job.waits_for_event("slot 2 is lost")


@over_two_hosts(policy=["--on-loss", "shrink"])
def a_killed_root_is_left_out(job, a, b):
    job.reaches(10)
    os.kill(rank_of(job, "a", 0), signal.SIGKILL)
    job.ends(a, b, slots=[1, 2, 3])


@over_two_hosts(policy=["--on-loss", "shrink"])
def a_vanished_host_is_noticed_by_its_silence(job, a, b):
    job.reaches(10)
    job.network["b"].vanish()
    job.ends(a, slots=[0, 1])
    job.waits_for_event("slot 2 is lost: its process was silent")
    job.waits_for_event("slot 3 is lost: its process was silent")
    job.no_event("state is lost")  # the mirrors lay on the other host


def spares_of_another_host_take_over():
    with hosts.Network("abc") as network, Place() as place:
        job = Job(place, network, 4)
        a = job.launch("a", "0-1", "--spares", "2")
        job.launch("b", "2-3")
        job.reaches(10)
        job.waits_for(lambda: job.events().count("a spare joined") == 2, "two spares")
        network["b"].vanish()
        job.ends(a, slots=range(4))
        job.waits_for_event("a spare takes slot 3")


@over_two_hosts()
def a_launcher_that_comes_back_takes_its_slots_up(job, a, b):
    job.reaches(10)
    job.network["b"].vanish()
    job.waits_for_event("slot 2 is lost")
    job.waits_for(lambda: not job.network["b"].processes(), "host b to be empty")
    job.network["b"].link_up()
    again = job.launch("b", "2-3")
    job.ends(a, again, slots=range(4))


@over_two_hosts(steps=40)
def a_cut_that_heals_costs_nobody(job, a, b):
    job.reaches(10)
    job.network.cut("a", "b")
    job.waits_for_event("live, but their connection is lost: all connect anew")
    job.network.heal()
    job.ends(a, b, slots=range(4))
    job.no_event('"kind":"verdict"')


@over_two_hosts(policy=["--on-loss", "shrink"])
def a_cut_that_stays_costs_one_side(job, a, b):
    job.reaches(10)
    job.network.cut("a", "b")
    a.ends_with(0)
    job.waits_for_event("slot 3 is lost: its connection was lost")
    job.ends(a, slots=[0, 1])


@over_two_hosts(policy=["--on-loss", "shrink"])
def a_cut_of_one_direction_is_a_cut(job, a, b):
    job.reaches(10)
    job.network.cut("b", "a", one_way=True)
    job.ends(a, slots=[0, 1])
    job.waits_for_event("slot 3 is lost")


@over_two_hosts(policy=["--on-loss", "shrink"])
def a_host_cut_from_all_that_comes_back_is_fenced(job, a, b):
    job.reaches(10)
    job.network["b"].link_down()
    job.waits_for_event("slot 2 is lost: its process was silent")
    job.network["b"].link_up()
    job.ends(a, slots=[0, 1])
    check("campaign: done slot=2" not in job.output(), job.everything())


if __name__ == "__main__":
    hosts.need()
    main(undisturbed, a_killed_rank_is_replaced, a_killed_root_is_left_out,
                  a_vanished_host_is_noticed_by_its_silence, spares_of_another_host_take_over,
                  a_launcher_that_comes_back_takes_its_slots_up, a_cut_that_heals_costs_nobody,
                  a_cut_that_stays_costs_one_side, a_cut_of_one_direction_is_a_cut,
                  a_host_cut_from_all_that_comes_back_is_fenced)
