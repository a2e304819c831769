#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`muster bench nccl` measures Muster's own work over stand-ins, and refuses what it does not know. How large
the figures are is for a quiet machine and a person to judge; that more tensors and more ranks take more
instructions is not."""

import os
import re
import shutil
import subprocess
import sys

build = os.environ["MUSTER_BUILD_DIR"]
muster = os.path.join(build, "bin", "muster")
if not os.path.exists(os.path.join(build, "lib", "stand_in_nccl.so")):
    print("skipped: libmuster-nccl is not built: deploy/setup --nccl fetches its headers")
    sys.exit(77)
run = subprocess.run([muster, "bench", "nccl"], stdin=subprocess.DEVNULL, capture_output=True,
                     text=True, timeout=200)
text = run.stdout


def fail(what):
    sys.exit(f"{what}: exit {run.returncode}\n{text}{run.stderr}")


if run.returncode != 0:
    fail("it failed")
for line in ["agreement round, host plane, 2 ranks +median",
             "agreement round, job with a device plane, 2 ranks +median",
             "gather of 8 bytes a rank, NCCL and CUDA free of charge, 2 ranks +median",
             "Muster's own work for a gather"]:
    if not re.search(line, text):
        fail(f"there is no line '{line}'")
if shutil.which("valgrind"):
    counts = re.search(r"2 ranks: (\d+) a batch; (\d+) more a tensor, (\d+) more a rank", text)
    if not counts or not all(int(count) > 0 for count in counts.groups()):
        fail("instructions were not counted")
    print(counts[0])
elif "there is no valgrind" not in text:
    fail("it does not say that it did not count")
wrong = subprocess.run([muster, "bench", "nccl", "-n", "1"], capture_output=True, text=True,
                       timeout=20)
if wrong.returncode != 2 or "usage" not in wrong.stderr:
    sys.exit(f"one rank was not refused: {wrong}")
