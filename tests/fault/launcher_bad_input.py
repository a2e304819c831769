# SPDX-License-Identifier: Apache-2.0
"""Bad input: one clear sentence, exit code 2, no hang, nothing started."""
import os
import re
import resource
import subprocess

from fault import LIMIT, MUSTER, Place, check, main

# Arguments of `muster`, and what the sentence must contain.
CASES = [
    ([], "command is missing"),
    (["frobnicate"], "no command 'frobnicate'"),
    (["run"], "-n is missing"),
    (["run", "-n", "2"], "command is missing"),
    (["run", "-n", "0", "--", "true"], "-n: expected a number from 1"),
    (["run", "-n", "x", "--", "true"], "'x'"),
    (["run", "-n", "2", "--frobnicate", "--", "true"], "--frobnicate"),
    (["run", "-n", "2", "--coordinator", "host:7400", "--", "true"], "tcp://HOST:PORT"),
    (["run", "-n", "2", "--coordinator", "tcp://host:99999", "--", "true"], "port"),
    (["run", "-n", "2", "--coordinator", "ipc://" + "x" * 200, "--", "true"], "107"),
    (["run", "-n", "2", "--on-loss", "panic", "--", "true"], "'replace' or 'shrink'"),
    (["run", "-n", "2", "--min-ranks", "3", "--", "true"], "--min-ranks 3"),
    (["run", "-n", "2", "--silence-ms", "500", "--", "true"],
     "suspect (1000 ms) must be below silence (500 ms), because"),
    (["coordinator", "--bind", "tcp://127.0.0.1:*", "--silence-ms", "500"],
     "suspect (1000 ms) must be below silence (500 ms), because"),
    (["run", "-n", "2", "--drill", "slot=5,step=1,signal=KILL", "--", "true"], "slot 5"),
    (["bench", "recovery", "--runs", "x"], "--runs: expected a number from 1"),
    (["bench", "recovery", "--ranks", "2"], "--ranks: expected a number from 3"),
    (["bench", "recovery", "--only", "nothing"], "no kind 'nothing'"),
    (["bench", "recovery", "--frobnicate"], "--frobnicate"),
    (["coordinator"], "--bind is missing"),
    (["coordinator", "--bind"], "--bind"),
    (["coordinator", "--bind", "nonsense"], "tcp://HOST:PORT"),
    (["coordinator", "--bind", "tcp://127.0.0.1:port"], "port"),
    (["coordinator", "--bind", "tcp://203.0.113.1:7400"], "cannot be bound"),
    (["coordinator", "--bind", "tcp://127.0.0.1:*", "--frobnicate"], "--frobnicate"),
    (["coordinator", "--bind", "tcp://127.0.0.1:*", "extra"], "options only"),
    (["coordinator", "--bind", "tcp://127.0.0.1:*", "--heartbeat-ms", "0"], "--heartbeat-ms"),
]


def muster(place, arguments):
    return subprocess.run([MUSTER, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=LIMIT, env=place.environment, check=False)


def every_mistake_is_explained():
    with Place() as place:
        for arguments, said in CASES:
            done = muster(place, arguments)
            check(done.returncode == 2, f"{arguments}: exit code {done.returncode}\n{done.stderr}")
            check(said in done.stderr, f"{arguments}: '{said}' is missing\n{done.stderr}")
            check(done.stdout == "", f"{arguments}: printed {done.stdout}")


def a_taken_endpoint():
    with Place() as place:
        endpoint = f"ipc://{place.folder}/socket"
        first = place.coordinator("--bind", endpoint, "--ready-fd", "1")
        first.waits_to_print("ipc://")
        done = muster(place, ["coordinator", "--bind", endpoint])
        check(done.returncode == 2 and "taken" in done.stderr, done.stderr)
        first.signal(15).ends_with(0)
        check(not os.path.exists(f"{place.folder}/socket"), "the socket's file is left")


def a_journal_that_is_held_or_damaged():
    with Place() as place:
        journal = place.path("journal")
        first = place.coordinator("--bind", "tcp://127.0.0.1:*", "--journal", journal,
                                  "--ready-fd", "1")
        first.waits_to_print("tcp://")
        second = ["coordinator", "--bind", "tcp://127.0.0.1:*", "--journal", journal]
        done = muster(place, second)
        check(done.returncode == 2 and "held by another coordinator" in done.stderr, done.stderr)
        first.signal(15).ends_with(0)
        with open(journal, "r+b") as file:
            file.seek(17)
            file.write(b"\xff")
        done = muster(place, second)
        check(done.returncode == 2 and "at offset" in done.stderr, done.stderr)
        check("checksum" in done.stderr and "move it away" in done.stderr, done.stderr)


def help_and_version():
    with Place() as place:
        commands = re.findall(r"^  (\S+) ", muster(place, ["help"]).stdout, re.MULTILINE)
        check({"run", "coordinator", "status", "keys", "postmortem", "bench"} <= set(commands), commands)
        asked = [[command] for command in commands if command not in ("help", "version")]
        asked += [["bench", "recovery"], ["bench", "collective"], ["bench", "nccl"]]
        for command in asked:
            for option in ("--help", "-h"):
                done = muster(place, [*command, option])
                check(done.returncode == 0 and done.stdout.startswith("usage: muster") and not done.stderr,
                      f"{command} {option}: {done}")
        for arguments in (["help"], ["--help"], ["-h"], ["version"], ["--version"]):
            done = muster(place, arguments)
            check(done.returncode == 0 and done.stdout and not done.stderr, f"{arguments}: {done}")
        text = muster(place, ["run", "--help"]).stdout
        for line in ("MUSTER_SLOT", "--verdict-grace-ms", "Exit codes", "128+N", "--drill"):
            check(line in text, f"--help lacks {line}")


def files_that_cannot_be_written():
    with Place() as place:
        run = place.run("-n", "1", "--report", "/nowhere/r.json", "--events", "/nowhere/e",
                        "--trace", "/nowhere/trace", "--", "true")
        run.ends_with(0).says("/nowhere/r.json").says("/nowhere/e").says("/nowhere/trace")


def descriptors_run_out():
    def few_descriptors():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    with Place() as place:
        done = subprocess.run([MUSTER, "run", "-n", "20", "--", "sleep", "1000"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=LIMIT, env=place.environment, preexec_fn=few_descriptors,
                              check=False)
        check(done.returncode == 5, f"exit code {done.returncode}\n{done.stderr}")
        check("Too many open files" in done.stderr and "ulimit -n" in done.stderr, done.stderr)


main(every_mistake_is_explained, a_taken_endpoint, a_journal_that_is_held_or_damaged,
     help_and_version, files_that_cannot_be_written, descriptors_run_out)
