# SPDX-License-Identifier: Apache-2.0
"""The job of one run: its launchers, its coordinator, the hosts that they are on."""
import os
import signal
import subprocess
import time

import campaign_processes as processes
import hosts
from campaign_events import Events
from campaign_plan import APART, HOSTS, OWN

DEADLINES_MS = {
    "heartbeat": 100, "suspect": 400, "silence": 1500, "reconnect": 1000, "batch": 3000,
    "verdict-grace": 500, "gone": 5000, "start": 10000, "join": 30000, "rebuild": 20000, "leave": 2000,
}
PORT = 7400


class Here:
    """The machine itself, where a job is on one host."""

    def command(self, arguments):
        return arguments

    def environment(self):
        return {}


class Job:
    def __init__(self, chosen, plan, folder, mark):
        self.chosen = chosen
        self.plan = plan
        self.folder = folder
        self.mark = mark
        self.name = f"campaign-{mark}"
        self.runtime = self.path("run")
        os.mkdir(self.runtime)
        self.muster = os.path.join(chosen.build, "bin", "muster")
        self.rank = os.path.join(chosen.build, "bin", "rank_campaign")
        self.network = hosts.Network("abc") if plan.place == HOSTS else None
        self.launchers = {}  # the last of each host
        self.gone_launchers = []
        self.coordinator = None  # where it is a process of its own
        self.events = Events(self.path("events"))
        self.output_count = 0
        self.coordinator_starts = 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def host(self, letter):
        return self.network[letter] if self.network else Here()

    def environment(self, letter):
        environment = dict(os.environ, XDG_RUNTIME_DIR=self.runtime, **self.host(letter).environment())
        environment[processes.MARK] = self.mark
        # A clock is a host's own: that of one of several.
        if not self.network or letter == self.plan.letter or self.plan.coin:
            environment.update(self.plan.fault.environment(self.plan, self))
        return environment

    def deadlines(self):
        return [word for name, value in DEADLINES_MS.items()
                for word in (f"--{name}-ms", str(int(value * self.chosen.slow)))]

    def _popen(self, letter, arguments, output):
        with open(self.path(output), "ab") as file:
            return subprocess.Popen(self.host(letter).command([self.muster, *arguments]), stdin=subprocess.DEVNULL,
                                    stdout=file, stderr=subprocess.STDOUT, env=self.environment(letter),
                                    start_new_session=True)

    def __enter__(self):
        if self.network:
            self.network.__enter__()
        try:
            if self.plan.place != OWN:
                self.start_coordinator()
            for letter in self.plan.letters():
                self.launch(letter)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        for process in [*self.launchers.values(), *self.gone_launchers, self.coordinator]:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        if self.network:
            self.network.__exit__(kind, value, trace)

    # ---- the coordinator ----

    def endpoint(self):
        return f"tcp://{self.network['c'].address}:{PORT}" if self.network else f"ipc://{self.runtime}/endpoint"

    def start_coordinator(self):
        self.coordinator_starts += 1
        self.coordinator = self._popen("c", [
            "coordinator", "--bind", self.endpoint(), "--journal", self.path("journal"), "--events",
            self.path("events"), *([] if not self.plan.traced else ["--trace"])], "output.coordinator")

    def coordinator_id(self):
        if self.plan.place == OWN:
            return processes.coordinator(self.mark)
        return self.coordinator.pid if self.coordinator.poll() is None else None

    def remove_journal(self):
        for path in ([self.path("journal")] if self.plan.place != OWN else
                     [os.path.join(place, name) for place, _, names in os.walk(self.runtime)
                      for name in names if name == "journal"]):
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass

    def restart_coordinator(self, after_s):
        """A launcher starts its own again by itself."""
        if self.plan.place == OWN:
            return
        self.coordinator.wait()
        time.sleep(after_s)
        self.start_coordinator()

    def end_coordinator(self):
        """Its exit code; None where there is none of its own."""
        if self.coordinator is None:
            return None
        # One that has just been started again must be able to hear of its end.
        end = time.monotonic() + 20
        while self.coordinator.poll() is None and time.monotonic() < end and processes.read_bytes(
                self.path("output.coordinator")).count(b"ranks find it at") < self.coordinator_starts:
            time.sleep(0.02)
        self.coordinator.terminate()
        try:
            return self.coordinator.wait(20)
        except subprocess.TimeoutExpired:
            return "none: it does not end"

    # ---- launchers ----

    def launch(self, letter):
        plan = self.plan
        self.output_count += 1
        slots = plan.slots_of(letter)
        arguments = ["run", "-n", str(plan.ranks), "--on-loss", plan.on_loss, "--job", self.name,
                     "--report", self.path(f"report.{letter}")]
        if plan.spares and letter == "a":
            arguments += ["--spares", str(plan.spares)]
        if plan.place == OWN:
            arguments += ["--events", self.path("events")]
        else:
            arguments += ["--coordinator", self.endpoint(), "--slots", f"{slots[0]}-{slots[-1]}"]
        if plan.traced:
            arguments += ["--trace", self.path("trace")]
        if letter in self.launchers:
            self.gone_launchers.append(self.launchers[letter])
        self.launchers[letter] = self._popen(letter, [
            *arguments, *self.deadlines(), "--", self.rank, "--steps", str(plan.steps), "--seed",
            str(plan.seed), "--step-ms", str(plan.step_ms), "--folder", self.folder,
            *plan.fault.rank_options(plan)], f"output.{self.output_count}{letter}")

    def running(self):
        return any(process.poll() is None for process in self.launchers.values())

    def wait(self, end):
        """False: somebody is still there when the time is over."""
        for process in self.launchers.values():
            try:
                process.wait(max(1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                return False
        return True

    def exit_codes(self):
        return {letter: process.poll() for letter, process in self.launchers.items()}

    def output(self):
        return "".join(processes.read_bytes(self.path(name)).decode(errors="replace")
                       for name in sorted(os.listdir(self.folder)) if name.startswith("output"))

    def digest(self):
        plan = self.plan
        return subprocess.run(
            [self.rank, "--steps", str(plan.steps), "--seed", str(plan.seed),
             *plan.fault.digest_options(plan), "--digest", str(plan.ranks)],
            capture_output=True, text=True, check=True).stdout.strip()

    def kill_all(self):
        for process in self.launchers.values():
            if process.poll() is None:
                process.kill()
                process.wait()

    def wait_empty(self, seconds):
        end = time.monotonic() + seconds
        while processes.marked(self.mark) and time.monotonic() < end:
            time.sleep(0.05)

    def forget_killed_launcher(self):
        """Its ranks end with it, after a moment; its folder is the next launcher's to remove."""
        self.wait_empty(10)
        subprocess.run([self.muster, "run", "-n", "1", "--", "/bin/true"], stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=60, env=dict(os.environ, XDG_RUNTIME_DIR=self.runtime))
