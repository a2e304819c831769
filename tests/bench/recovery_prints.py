#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`muster bench recovery` runs each kind of loss to its end and prints a figure for each step of it. How
large the figures are is for a quiet machine and a person to judge."""

import os
import re
import subprocess
import sys

LINE = re.compile(r"^(.+?): (.+?) +median +([0-9.]+) us +least +([0-9.]+) +worst +([0-9.]+) +n (\d+)")
KINDS = ["shrink", "waiting spare", "fresh process", "stopped process, silence 1000 ms",
         "hung thread, batch deadline 1000 ms"]

muster = os.path.join(os.environ["MUSTER_BUILD_DIR"], "bin", "muster")
for kind in KINDS:
    run = subprocess.run([muster, "bench", "recovery", "--runs", "1", "--ranks", "4", "--only", kind],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100)
    lines = [match for match in map(LINE.match, run.stdout.splitlines()) if match]
    steps = [match[2] for match in lines]
    if run.returncode != 0 or len(lines) != 3 or any(match[1] != kind for match in lines):
        sys.exit(f"{kind}: exit {run.returncode}\n{run.stdout}{run.stderr}")
    if not steps[0].endswith("to verdict") or any(float(match[3]) <= 0 for match in lines):
        sys.exit(f"{kind}: not the steps of one recovery, in order\n{run.stdout}")
    print(f"{kind}: {', '.join(f'{match[2]} {float(match[3]) / 1e3:.1f} ms' for match in lines)}")
wrong = subprocess.run([muster, "bench", "recovery", "--only", "nothing"], capture_output=True,
                       text=True, timeout=20)
if wrong.returncode != 2 or "no kind 'nothing'" not in wrong.stderr or wrong.stdout:
    sys.exit(f"a kind that there is not was not refused: {wrong}")
