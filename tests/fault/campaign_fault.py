# SPDX-License-Identifier: Apache-2.0
"""What can be drawn for a run, how it is done to a job, and which ends are then legal."""
import os
import re
import signal
import time

import campaign_processes as processes

# Name: weight, what it does.
FAULTS = {
    "kill": (6, "SIGKILL of one rank"),
    "kill_two": (3, "SIGKILL of two ranks at once"),
    "kill_in_recovery": (4, "SIGKILL of a rank, and of another 0 to 200 ms after the verdict"),
    "stop": (3, "SIGSTOP of a rank, for ever"),
    "zombie": (3, "SIGSTOP of a rank, SIGCONT at the verdict"),
    "coordinator": (3, "SIGKILL of the coordinator"),
    "coordinator_and_rank": (3, "SIGKILL of the coordinator and of a rank"),
    "hang": (3, "a rank whose working thread never calls again"),
    "coordinator_paused": (2, "SIGSTOP of the coordinator, SIGCONT up to 2.5 s later"),
    "kill_all": (2, "SIGKILL of all ranks at once"),
    "launcher": (1, "SIGKILL of the launcher"),
    "start": (1, "SIGKILL of a rank that starts, joined or not"),
}

EXIT_OK, EXIT_RANK_FAILED, EXIT_GAVE_UP = 0, 1, 3


class Plan:
    """One run, drawn from the seed and its number alone."""

    def __init__(self, draw, ranks):
        self.fault = draw.choices(list(FAULTS), [weight for weight, _ in FAULTS.values()])[0]
        self.ranks = ranks if ranks else draw.randint(2, 6)
        self.on_loss = draw.choice(["replace", "replace", "shrink"])
        self.spares = 1 if self.on_loss == "replace" and draw.random() < 0.35 else 0
        self.traced = draw.random() < 0.1
        self.steps = draw.randint(12, 24)
        self.step_ms = draw.choice([2, 10, 25])
        self.at_step = draw.randint(0, self.steps - 1)
        self.after_ms = draw.uniform(0, 2.0 * self.step_ms + 10)
        self.slots = draw.sample(range(self.ranks), 2)
        self.second_after_ms = draw.uniform(0, 200)
        self.seed = draw.getrandbits(32)
        self.pause_ms = draw.uniform(50, 2500)

    def text(self):
        slots = {"kill_two": self.slots, "kill_in_recovery": self.slots, "coordinator": [],
                 "coordinator_paused": [], "kill_all": [], "launcher": [], "start": []}.get(self.fault, self.slots[:1])
        return (f"{self.fault} slots={','.join(map(str, slots)) or '-'} ranks={self.ranks} "
                f"on_loss={self.on_loss} spares={self.spares} step={self.at_step}/{self.steps}"
                f"{' traced' if self.traced else ''}")

    def losses(self):
        """How many ranks the fault takes at most."""
        return {"kill_two": 2, "kill_in_recovery": 2, "coordinator": 0, "coordinator_paused": 0,
                "kill_all": self.ranks}.get(self.fault, 1)


class Fault:
    """Does a plan's fault to a running job; remembers whom it hit, and when."""

    def __init__(self, plan, mark, folder, events, running, launcher_id):
        self.plan = plan
        self.mark = mark
        self.folder = folder
        self.events = events
        self.launcher_id = launcher_id
        self.running = running  # false once the launcher has ended
        self.hit = []  # (slot, incarnation, signal number, time in ns)
        self.late = False  # a rank had come to its end when the fault fell

    def _wait(self, condition, limit_s=30):
        end = time.monotonic() + limit_s
        while self.running() and time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.002)
        return False

    def _look_late(self):
        """After a fault, so that what was printed just before it is seen."""
        try:
            with open(os.path.join(self.folder, "output"), errors="replace") as file:
                self.late = self.late or "campaign: done" in file.read()
        except OSError:
            pass

    def _signal(self, slot, number):
        place = processes.rank_processes(self.folder).get(slot)
        if place is None:
            return None
        incarnation, process_id = place
        try:
            self.hit.append((slot, incarnation, number, time.monotonic_ns()))
            os.kill(process_id, number)
        except ProcessLookupError:
            self.hit.pop()
            return None
        self._look_late()
        return incarnation, process_id

    def _verdict(self, slot):
        return any(note["slot"] == slot for note in self.events.of("verdict"))

    def _signal_coordinator(self, number):
        process_id = processes.coordinator(self.mark)
        if process_id is not None:
            os.kill(process_id, number)
            self._look_late()

    def _start(self):
        time.sleep(self.plan.after_ms / 1000 * 4)
        ids = processes.ranks_before_join(self.mark)
        if ids:
            chosen = ids[self.plan.slots[0] % len(ids)]
            self.hit.append((None, None, signal.SIGKILL, time.monotonic_ns()))
            try:
                os.kill(chosen, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def run(self):
        plan = self.plan
        first, second = plan.slots
        if plan.fault == "start":
            self._start()
            return
        if not self._wait(lambda: self.events.committed() >= plan.at_step):
            return
        time.sleep(plan.after_ms / 1000)
        if plan.fault in ("coordinator", "coordinator_and_rank"):
            self._signal_coordinator(signal.SIGKILL)
        if plan.fault == "coordinator_paused":
            self._signal_coordinator(signal.SIGSTOP)
            time.sleep(plan.pause_ms / 1000)
            self._signal_coordinator(signal.SIGCONT)
        if plan.fault == "launcher":
            os.kill(self.launcher_id, signal.SIGKILL)
        if plan.fault == "kill_all":
            for slot in range(plan.ranks):
                self._signal(slot, signal.SIGKILL)
        if plan.fault in ("kill", "coordinator_and_rank", "kill_in_recovery", "kill_two"):
            self._signal(first, signal.SIGKILL)
        if plan.fault == "kill_two":
            self._signal(second, signal.SIGKILL)
        if plan.fault == "kill_in_recovery" and self._wait(lambda: self._verdict(first)):
            time.sleep(plan.second_after_ms / 1000)
            # Whoever is there now: one that was never hurt, or the replacement of the first.
            slot = second if plan.second_after_ms < 140 else first
            self._signal(slot, signal.SIGKILL)
        if plan.fault in ("stop", "zombie"):
            stopped = self._signal(first, signal.SIGSTOP)
            if plan.fault == "zombie" and stopped and self._wait(lambda: self._verdict(first)):
                try:
                    os.kill(stopped[1], signal.SIGCONT)
                except ProcessLookupError:
                    pass
        if plan.fault == "hang":
            self._signal(first, signal.SIGUSR1)

    def _was_late(self):
        """One that was hit had come to the end itself, or others left before the verdict: they did not
        need it any more, and are not there to go on with a replacement."""
        if self.late:
            return True
        with open(os.path.join(self.folder, "output"), errors="replace") as file:
            done = re.findall(r"^\[(\d+)\.(\d+)\] campaign: done", file.read(), re.MULTILINE)
        if any((str(slot), str(incarnation)) in done for slot, incarnation, _, _ in self.hit):
            return True
        verdict_ns = max([note["time_ns"] for note in self.events.of("verdict")], default=0)
        return any(note["time_ns"] < verdict_ns for note in self.events.of("left"))

    def legal_ends(self):
        """Exit codes of the launcher that the rules allow. Where some rank had come to its end when the
        fault fell, the others may find nobody to go on with."""
        plan = self.plan
        if plan.fault == "launcher":
            return {EXIT_OK, -signal.SIGKILL}
        legal = {EXIT_OK}
        if plan.fault == "start":
            legal.add(EXIT_RANK_FAILED)  # it died before it had joined
        if plan.losses() > 0 and self._was_late():
            legal |= {EXIT_GAVE_UP, EXIT_RANK_FAILED}  # the latter: killed between leaving and exiting
        if plan.losses() >= plan.ranks and plan.on_loss == "shrink":
            legal.add(EXIT_GAVE_UP)  # nobody is left
        return legal

    def may_lose_state(self):
        """A slot together with its mirror: two were hit, or the mirror had left."""
        return self.plan.losses() > 1 or self._was_late()
