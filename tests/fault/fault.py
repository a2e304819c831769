# SPDX-License-Identifier: Apache-2.0
"""What the fault tests share: a `muster run` that is watched, and a look at what it left behind."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

from kill import kill_if_there
from runtime_folder import left_in

BUILD = os.environ["MUSTER_BUILD_DIR"]
MUSTER = os.path.join(BUILD, "bin", "muster")
RANK = os.path.join(BUILD, "bin", "fault_rank")
# Against hangs only; nothing is asserted about how long things take.
LIMIT = 60
# A job whose silence is noticed soon, for tests that stop processes.
FAST = ["--heartbeat-ms", "50", "--suspect-ms", "250", "--silence-ms", "1500",
        "--reconnect-ms", "1000"]
MODES = [[], ["--no-pid-namespace"]]


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def wait_for(condition, what):
    """The first true value of condition()."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {LIMIT} s for {what}")


def rank_of(run, slot, incarnation=0):
    """By what the launcher's environment gave it."""
    wanted = {f"MUSTER_SLOT={slot}".encode(), f"MUSTER_INCARNATION={incarnation}".encode()}
    for process_id in run.place.processes():
        try:
            with open(f"/proc/{process_id}/environ", "rb") as file:
                if wanted <= set(file.read().split(b"\0")):
                    return process_id
        except OSError:
            continue
    raise AssertionError(f"slot {slot} has no process")


def has_rank(run, slot, incarnation):
    try:
        return rank_of(run, slot, incarnation)
    except AssertionError:
        return None


class Place:
    """A runtime folder of our own, and a mark in the environment of everything that is started."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="muster-fault-")
        self.runtime = os.path.join(self.folder, "runtime")
        os.mkdir(self.runtime, 0o700)
        self.mark = uuid.uuid4().hex
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=self.runtime, MUSTER_TEST_MARK=self.mark)
        # A sanitizer cannot look for leaks in a process that it cannot trace by its own number.
        options = self.environment.get("ASAN_OPTIONS", "")
        self.environment["ASAN_OPTIONS"] = options + ":detect_leaks=0"
        options = self.environment.get("TSAN_OPTIONS", "")
        self.environment["TSAN_OPTIONS"] = options + ":atexit_sleep_ms=0"
        self.started = []
        return self

    def __exit__(self, kind, value, trace):
        for run in self.started:
            if run.process.poll() is None:
                run.process.kill()
                run.process.wait()
        if kind is None:
            self.nothing_is_left()
        for process_id in self.processes():
            kill_if_there(process_id)
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, *arguments, **options):
        started = Run(self, ["run", *arguments], **options)
        self.started.append(started)
        return started

    def coordinator(self, *arguments, **options):
        started = Run(self, ["coordinator", *arguments], **options)
        self.started.append(started)
        return started

    def processes(self):
        """All living processes that carry the mark."""
        found = []
        needle = b"MUSTER_TEST_MARK=" + self.mark.encode()
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    marked = needle in file.read().split(b"\0")
                with open(f"/proc/{name}/stat", encoding="latin-1") as file:
                    dead = file.read().rsplit(")", 1)[1].split()[0] in "ZX"
            except OSError:
                continue
            if marked and not dead:
                found.append(int(name))
        return found

    def nothing_is_left(self, files_too=True):
        wait_for(lambda: not self.processes(), "every process to be gone")
        if files_too:
            left = left_in(self.runtime)
            check(not left, f"left behind in the runtime folder: {left}")


class Run:
    def __init__(self, place, arguments, stdout=None, before=()):
        self.place = place
        self.out_path = place.path(f"out.{len(place.started)}")
        self.err_path = place.path(f"err.{len(place.started)}")
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.process = subprocess.Popen(
                [*before, MUSTER, *arguments], stdin=subprocess.DEVNULL, stdout=stdout or out, stderr=err,
                env=place.environment, cwd=place.folder, start_new_session=True)

    @staticmethod
    def read(path):
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def out(self):
        return self.read(self.out_path)

    @property
    def err(self):
        return self.read(self.err_path)

    def everything(self):
        return f"--- stdout\n{self.out}--- stderr\n{self.err}---"

    def ends_with(self, code):
        try:
            came = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end\n{self.everything()}") from None
        check(came == code, f"exit code {came}, not {code}\n{self.everything()}")
        return self

    def says(self, pattern):
        """Has said, on stderr."""
        check(re.search(pattern, self.err), f"/{pattern}/ is missing\n{self.everything()}")
        return self

    def does_not_say(self, pattern):
        check(not re.search(pattern, self.err), f"/{pattern}/ is there\n{self.everything()}")
        return self

    def waits_to_say(self, pattern):
        return self.waits_for(pattern, lambda: self.err)

    def waits_to_print(self, pattern):
        return self.waits_for(pattern, lambda: self.out)

    def waits_for(self, pattern, text):
        def found():
            return re.search(pattern, text()) or self.process.poll() is not None
        try:
            wait_for(found, f"/{pattern}/")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.everything()}") from None
        match = re.search(pattern, text())
        check(match, f"/{pattern}/ never came\n{self.everything()}")
        return match

    def signal(self, number):
        self.process.send_signal(number)
        return self


def main(*tests):
    """Runs all of them, or those that are named on the command line."""
    failed = 0
    for test in tests:
        if len(sys.argv) > 1 and test.__name__ not in sys.argv[1:]:
            continue
        start = time.monotonic()
        try:
            test()
            print(f"ok      {test.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAILED  {test.__name__}: {error}", flush=True)
    sys.exit(1 if failed else 0)
