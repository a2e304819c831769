# SPDX-License-Identifier: Apache-2.0
"""The processes of one run, known by a mark in their environment."""
import os
import re
import subprocess

MARK = "MUSTER_CAMPAIGN_MARK"


def read_bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _environment(process_id):
    pairs = (part.partition(b"=") for part in read_bytes(f"/proc/{process_id}/environ").split(b"\0"))
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, _, value in pairs}


def all_ids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def state_of(process_id):
    stat = read_bytes(f"/proc/{process_id}/stat").decode(errors="replace")
    return stat.rpartition(")")[2].split()[0] if ")" in stat else None


def marked(mark):
    """{process id: (command line, environment)} of what lives with this mark. What has exited and waits
    for its parent has no environment any more and is not seen."""
    found = {}
    for process_id in all_ids():
        environment = _environment(process_id)
        if environment.get(MARK) == mark:
            command = read_bytes(f"/proc/{process_id}/cmdline").replace(b"\0", b" ").decode(errors="replace")
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
            lines.append(f"   {task} {state_of(task)} wchan={read_bytes(base + '/wchan').decode()} "
                         f"syscall={read_bytes(base + '/syscall').decode().strip()}")
        try:
            stacks = subprocess.run(
                ["gdb", "-p", str(process_id), "-batch", "-nx", "-ex", "set pagination off",
                 "-ex", "thread apply all bt"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
            lines.append(stacks.stdout)
        except (OSError, subprocess.TimeoutExpired) as error:
            lines.append(f"   no stacks: {error}")
    return "\n".join(lines) + "\n"


def rank_processes(folder):
    """{slot: (incarnation, process id)} of those that joined last, as they said themselves."""
    latest = {}
    for name in os.listdir(folder):
        match = re.fullmatch(r"slot(\d+)\.(\d+)", name)
        if match:
            slot, incarnation = int(match[1]), int(match[2])
            if slot not in latest or latest[slot][0] < incarnation:
                latest[slot] = (incarnation, int(read_bytes(os.path.join(folder, name))))
    return latest
