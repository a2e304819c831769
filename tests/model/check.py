#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Has spin search the model of the recovery protocol (recovery.pml): the whole of it must hold, and each
removed rule must be found out. See README.md; --thorough adds the searches that take half an hour."""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recovery.pml")
MEMORY_MIB = 6000

# What is searched, as switches of recovery.pml, and what for.
HOLDS = [
    ("shrink, 2 deaths, 1 crash", ["DEATHS=2", "CRASHES=1"], "safety"),
    ("shrink, 1 death, 1 crash: every path ends", ["DEATHS=1", "CRASHES=1"], "cycles"),
    ("replace, 2 deaths", ["REPLACE", "DEATHS=2", "CRASHES=0"], "safety"),
    ("replace, 1 death, 1 crash, membership only",
     ["REPLACE", "MEMBERSHIP_ONLY", "DEATHS=1", "CRASHES=1"], "safety"),
]
HOLDS_THOROUGH = [
    ("shrink, 2 deaths, 1 crash: every path ends", ["DEATHS=2", "CRASHES=1"], "cycles"),
    ("replace, 2 deaths: every path ends", ["REPLACE", "DEATHS=2", "CRASHES=0"], "cycles"),
    ("replace, 1 death, 1 crash", ["REPLACE", "DEATHS=1", "CRASHES=1"], "safety"),
    ("replace, 2 deaths, 1 crash, membership only",
     ["REPLACE", "MEMBERSHIP_ONLY", "DEATHS=2", "CRASHES=1"], "safety"),
]
# A rule that is removed, and a word of the claim that must fail for it.
MUTATIONS = [
    ("AGREED_BEFORE_JOURNAL", "an epoch is agreed before the journal knows its number"),
    ("VERDICT_BEFORE_JOURNAL", "a verdict is said before the journal knows it"),
    ("AGREED_WITHOUT_QUIET", "an epoch is agreed while survivors still work in the last one"),
    ("QUIET_AT_REVOKE", "a rank says that it is quiet while its copy is still under way"),
    ("MEMORY_NOT_ABANDONED", "memory that a lost process can still write into is used again"),
    ("FENCED_MAY_REJOIN", "a process that was declared dead is taken in again"),
    ("REJOIN_NOT_TOLD", "a rank that comes back is not told where the job stands"),
]


def search(switches, what, folder, optimise):
    """Builds and runs one search. Returns (states, claim that failed or None, what pan printed)."""
    os.makedirs(folder)
    subprocess.run(["spin", "-a"] + ["-D" + switch for switch in switches] + [SOURCE],
                   cwd=folder, check=True, capture_output=True, text=True)
    search_for = ["-DNP", "-DNOFAIR"] if what == "cycles" else ["-DSAFETY"]
    subprocess.run(["cc", optimise, "-w", "-DHC4", f"-DMEMLIM={MEMORY_MIB}"] + search_for
                   + ["-o", "pan", "pan.c"], cwd=folder, check=True)
    options = ["-m100000", "-w25"] + (["-l"] if what == "cycles" else [])
    output = subprocess.run(["./pan"] + options, cwd=folder, capture_output=True, text=True).stdout
    states = re.search(r"([0-9.e+]+) states, stored", output)
    failed = re.search(r"pan:\d+: (.*) \(at depth", output)
    # Not finished: out of memory, or deeper than pan was told. Then it has shown nothing.
    if not failed and (not states or "Search not completed" in output
                       or "max search depth too small" in output or "errors: 0" not in output):
        raise RuntimeError(f"the search did not finish:\n{output[-2000:]}")
    return int(float(states.group(1))) if states else 0, failed and failed.group(1), output


def check(name, switches, what, mutation, folder):
    try:
        states, failed, _ = search(switches, what, folder, "-O0" if mutation else "-O2")
    except (RuntimeError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", "") or getattr(error, "stdout", "") or ""
        return False, f"{name}: {error}\n{detail}"
    if mutation:
        if failed:
            return True, f"refuted, as it must be: {name}\n    by {failed}, after {states:,} states"
        return False, f"NOT refuted: {name} ({states:,} states): the model cannot see it"
    if failed:
        return False, (f"FAILS: {name}: {failed}, after {states:,} states\n    to see the way there: cd {folder}"
                       f" && spin -k recovery.pml.trail -t -p {' '.join('-D' + s for s in switches)} {SOURCE}")
    return True, f"holds: {name}: {states:,} states"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--thorough", action="store_true",
                        help="also the large searches: half an hour and 6 GB")
    parser.add_argument("--folder", help="keep what spin makes there (a new folder)")
    arguments = parser.parse_args()
    for tool, package in (("spin", "spin"), ("cc", "build-essential")):
        if not shutil.which(tool):
            print(f"skip: there is no {tool} here; Debian's package {package} has it")
            return 77
    folder = arguments.folder or tempfile.mkdtemp(prefix="muster-model-")
    runs = [(name, switches, what, False) for name, switches, what in
            HOLDS + (HOLDS_THOROUGH if arguments.thorough else [])]
    runs += [(text, ["DEATHS=1", "CRASHES=1", f"MUTATE_{rule}"], "safety", True)
             for rule, text in MUTATIONS]
    good = True
    # Two at a time: the large ones need more than a gigabyte each.
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = [pool.submit(check, *run, os.path.join(folder, str(number)))
                   for number, run in enumerate(runs)]
        for result in results:
            passed, text = result.result()
            good = good and passed
            print(text, flush=True)
    if good and not arguments.folder:
        shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
