# SPDX-License-Identifier: Apache-2.0
"""What a run left behind: processes, sockets, segments, namespaces, files in its runtime directory, tracing sessions."""
import os
import re
import subprocess
import time

from campaign_processes import all_ids, marked, read_bytes
from runtime_folder import left_in


def unix_sockets():
    """Names of unix sockets; an abstract one begins with '@'."""
    lines = read_bytes("/proc/net/unix").decode(errors="replace").splitlines()[1:]
    return {fields[7] for fields in (line.split() for line in lines) if len(fields) > 7}


def shared_memory():
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def in_use(path):
    for process_id in all_ids():
        if path.encode() in read_bytes(f"/proc/{process_id}/maps"):
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


def network_namespaces():
    """That this program made for its hosts."""
    try:
        listed = subprocess.run(["ip", "netns", "list"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=20)
    except OSError:
        return []
    names = [line.split()[0] for line in listed.stdout.splitlines() if line.strip()]
    return [name for name in names if re.fullmatch(rf"mh{os.getpid()}[a-z]?", name)]


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
        found += [f"network namespace {name}" for name in network_namespaces()]
        if traced:
            found += [f"tracing session {line}" for line in tracing_sessions(self.job_name)]
        return found
