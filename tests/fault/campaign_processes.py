# SPDX-License-Identifier: Apache-2.0
"""Processes of one run, known by a mark in their environment; and what a run left behind."""
import json
import os
import re
import subprocess
import time

from runtime_folder import left_in

MARK = "MUSTER_CAMPAIGN_MARK"


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _environment(process_id):
    pairs = (part.partition(b"=") for part in _read(f"/proc/{process_id}/environ").split(b"\0"))
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, _, value in pairs}


def all_ids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def state_of(process_id):
    stat = _read(f"/proc/{process_id}/stat").decode(errors="replace")
    return stat.rpartition(")")[2].split()[0] if ")" in stat else None


def marked(mark):
    """{process id: (command line, environment)} of what lives with this mark. What has exited and waits
    for its parent has no environment any more and is not seen."""
    found = {}
    for process_id in all_ids():
        environment = _environment(process_id)
        if environment.get(MARK) == mark:
            command = _read(f"/proc/{process_id}/cmdline").replace(b"\0", b" ").decode(errors="replace")
            found[process_id] = (command.strip(), environment)
    return found


def coordinator(mark):
    for process_id, (command, _) in marked(mark).items():
        if command.split()[1:2] == ["coordinator"]:
            return process_id
    return None


def ranks_before_join(mark):
    """Process ids of rank programs, whether they have joined or not."""
    return [process_id for process_id, (command, _) in sorted(marked(mark).items())
            if command.split()[0].endswith("rank_campaign")]


def describe(mark):
    """What every process of a run is doing: for a run that hangs."""
    lines = []
    for process_id, (command, environment) in sorted(marked(mark).items()):
        lines.append(f"== {process_id} slot={environment.get('MUSTER_SLOT')} {command}")
        for task in sorted(os.listdir(f"/proc/{process_id}/task")
                           if os.path.isdir(f"/proc/{process_id}/task") else []):
            base = f"/proc/{process_id}/task/{task}"
            lines.append(f"   {task} {state_of(task)} wchan={_read(base + '/wchan').decode()} "
                         f"syscall={_read(base + '/syscall').decode().strip()}")
        try:
            stacks = subprocess.run(
                ["gdb", "-p", str(process_id), "-batch", "-nx", "-ex", "set pagination off",
                 "-ex", "thread apply all bt"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
            lines.append(stacks.stdout)
        except (OSError, subprocess.TimeoutExpired) as error:
            lines.append(f"   no stacks: {error}")
    return "\n".join(lines) + "\n"


def unix_sockets():
    """Names of unix sockets; an abstract one begins with '@'."""
    lines = _read("/proc/net/unix").decode(errors="replace").splitlines()[1:]
    return {fields[7] for fields in (line.split() for line in lines) if len(fields) > 7}


def shared_memory():
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def in_use(path):
    for process_id in all_ids():
        if path.encode() in _read(f"/proc/{process_id}/maps"):
            return True
        try:
            for name in os.listdir(f"/proc/{process_id}/fd"):
                if os.readlink(f"/proc/{process_id}/fd/{name}") == path:
                    return True
        except OSError:
            pass
    return False


def tracing_sessions(job_name):
    """Recording sessions whose name has the job's in it."""
    try:
        listed = subprocess.run(["lttng", "--no-sessiond", "list"], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in listed.stdout.splitlines()
            if re.match(r"\s*\d+\) ", line) and job_name in line]


class Leftovers:
    """Looks before a run, and again after it."""

    def __init__(self, mark, job_name, run_folder):
        self.mark = mark
        self.job_name = job_name
        self.run_folder = run_folder
        self.shared_memory = shared_memory()

    def _processes(self):
        """A session daemon is shared by all of root's jobs: it may outlive the one that started it as
        long as it has sessions, and takes a moment to end after the last."""
        end = time.monotonic() + 5
        while True:
            left = [(process_id, command) for process_id, (command, _) in marked(self.mark).items()]
            others = [entry for entry in left if not entry[1].startswith("lttng-")]
            if others or not left or time.monotonic() > end:
                return left if others or not tracing_sessions("") else []
            time.sleep(0.1)

    def find(self, traced):
        found = [f"process {process_id}: {command}" for process_id, command in self._processes()]
        found += [f"in the runtime directory: {name}" for name in left_in(self.run_folder)]
        found += [f"unix socket {name}" for name in unix_sockets() if self.run_folder in name]
        # Others work on this machine, too: only names that are ours or the tracer's, and nobody's.
        for name in shared_memory() - self.shared_memory:
            if ("muster" in name or "ust-" in name) and not in_use(f"/dev/shm/{name}") and \
                    os.path.exists(f"/dev/shm/{name}"):
                found.append(f"/dev/shm/{name}")
        if traced:
            found += [f"tracing session {line}" for line in tracing_sessions(self.job_name)]
        return found


class Events:
    """The events file of a run, as far as it is written."""

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.partial = b""
        self.notes = []

    def read(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                new = file.read()
        except OSError:
            return self.notes
        self.offset += len(new)
        lines = (self.partial + new).split(b"\n")
        self.partial = lines.pop()
        self.notes += [json.loads(line) for line in lines if line]
        return self.notes

    def of(self, kind):
        return [note for note in self.read() if note["kind"] == kind]

    def committed(self):
        return max([note["value"] for note in self.of("committed")], default=-1)


def rank_processes(folder):
    """{slot: (incarnation, process id)} of those that joined last, as they said themselves."""
    latest = {}
    for name in os.listdir(folder):
        match = re.fullmatch(r"slot(\d+)\.(\d+)", name)
        if match:
            slot, incarnation = int(match[1]), int(match[2])
            if slot not in latest or latest[slot][0] < incarnation:
                latest[slot] = (incarnation, int(_read(os.path.join(folder, name))))
    return latest
