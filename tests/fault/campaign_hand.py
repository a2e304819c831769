# SPDX-License-Identifier: Apache-2.0
"""What does a fault to a running job, and remembers whom it hit, and when."""
import os
import re
import signal
import time

import campaign_processes as processes


class Hand:
    def __init__(self, job):
        self.job = job
        self.plan = job.plan
        self.hit = []  # (slot, incarnation, time in ns)
        self.late = False  # a rank had come to its end when the fault fell
        self.killed_launchers = set()
        self.done = False

    def wait(self, condition, limit_s=30):
        end = time.monotonic() + limit_s
        while self.job.running() and time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.002)
        return False

    def look_late(self):
        """After a fault, so that what was printed just before it is seen."""
        self.late = self.late or "campaign: done" in self.job.output()

    def hits(self, slot):
        """From now on this one is expected to be lost."""
        place = processes.rank_processes(self.job.folder).get(slot)
        if place is not None:
            self.hit.append((slot, place[0], time.monotonic_ns()))
        return place

    def signal(self, slot, number):
        """The process id that got it, or None."""
        place = self.hits(slot)
        if place is None:
            return None
        try:
            os.kill(place[1], number)
        except ProcessLookupError:
            self.hit.pop()
            return None
        self.look_late()
        return place[1]

    def signal_process(self, process_id, number):
        try:
            os.kill(process_id, number)
        except ProcessLookupError:
            pass

    def verdict(self, slot):
        return any(note["slot"] == slot for note in self.job.events.of("verdict"))

    def signal_coordinator(self, number):
        process_id = self.job.coordinator_id()
        if process_id is not None:
            self.signal_process(process_id, number)
            self.look_late()

    def kill_coordinator(self, down_ms, with_journal=False, meanwhile=None):
        if with_journal:
            self.job.remove_journal()
        self.signal_coordinator(signal.SIGKILL)
        if meanwhile:
            meanwhile()
        self.job.restart_coordinator(down_ms / 1000)

    def kill_launcher(self, letter):
        for slot in self.plan.slots_of(letter):
            self.hits(slot)
        self.killed_launchers.add(letter)
        self.job.launchers[letter].kill()
        self.look_late()

    def run(self):
        plan = self.plan
        if plan.kind == "start":
            self._start()
            return
        if not self.wait(lambda: self.job.events.committed() >= plan.at_step):
            return
        time.sleep(plan.after_ms / 1000)
        self.done = True
        plan.fault.do(self, plan)

    def _start(self):
        time.sleep(self.plan.after_ms / 1000 * 4)
        ids = processes.ranks_before_join(self.job.mark)
        if ids:
            self.done = True
            self.hit.append((None, None, time.monotonic_ns()))
            self.signal_process(ids[self.plan.slots[0] % len(ids)], signal.SIGKILL)

    def read_own_deaths(self):
        """Ranks that killed themselves at a stated place said when."""
        for name in os.listdir(self.job.folder):
            match = re.fullmatch(r"died(-?\d+)\.(\d+)", name)
            if match:
                self.done = True
                self.hit.append((int(match[1]), int(match[2]),
                                 int(processes.read_bytes(os.path.join(self.job.folder, name)))))

    def was_late(self):
        """One that was hit had come to the end itself, or others left before the verdict: they did not
        need it any more, and are not there to go on with a replacement."""
        if self.late:
            return True
        done = re.findall(r"^\[(\d+)\.(\d+)\] campaign: done", self.job.output(), re.MULTILINE)
        if any((str(slot), str(incarnation)) in done for slot, incarnation, _ in self.hit):
            return True
        verdict_ns = max([note["time_ns"] for note in self.job.events.of("verdict")], default=0)
        return any(note["time_ns"] < verdict_ns for note in self.job.events.of("left"))
