#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What can be seen of ./on_gpu without a GPU: what it says and skips, and that NVIDIA's own runtime has all that the
# programs of the GPU set ask the emulated one for. on_gpu_test.sh GPU_COUNT PROGRAM...
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES MUSTER_TEST_DEVICES MUSTER_GPU_LIBRARIES
export MUSTER_EMULATED_DEVICES=5

# expect CODE WORDS COMMAND...: how it ended, and what it said.
expect() {
  local code=$1 words=$2 came=0
  shift 2
  "$@" >"$work/said" 2>&1 || came=$?
  if [ "$came" != "$code" ] || ! grep -qF -- "$words" "$work/said"; then
    echo "on_gpu_test: $*: code $came, expected $code and '$words':" >&2
    cat "$work/said" >&2
    exit 1
  fi
}

program() {
  printf '#!/bin/sh\n%s\n' "$2" >"$work/$1"
  chmod +x "$work/$1"
}

mkdir "$work/none" "$work/libraries"
touch "$work/libraries/libcudart.so.13"
program shows 'echo "$MUSTER_TEST_DEVICES,${MUSTER_EMULATED_DEVICES:-},${MUSTER_EMULATED_OVER:-},$LD_LIBRARY_PATH"'
program two 'echo 2'
program no 'echo 0'
program refuses 'echo too old; exit 1'
program nvidia-smi 'exit 9'
PATH=$work:$PATH

if [ ! -e /proc/driver/nvidia/gpus ]; then
  expect 77 "skip: there is no NVIDIA GPU" "$here/on_gpu" shows
fi
program nvidia-smi 'echo "GPU 0: of the test"; echo "GPU 1: of the test"; echo "  MIG of the test"'
export MUSTER_GPU_LIBRARIES=$work/none
expect 1 "no libcudart.so.13 in $work/none" "$here/on_gpu" shows
MUSTER_GPU_LIBRARIES=$work/none:$work/libraries
expect 0 "2,,,$work/none:$work/libraries" "$here/on_gpu" shows
expect 0 "1,,net,$work/none" "$here/on_gpu" --most 1 --over net --count two shows
expect 77 "skip: it takes 4 GPUs, and there are 2" "$here/on_gpu" --least 4 --count two shows
expect 77 "skip: CUDA gives this process no GPU" "$here/on_gpu" --count no shows
expect 1 "cannot use it: too old" "$here/on_gpu" --count refuses shows
expect 2 "usage:" "$here/on_gpu" --over nowhere shows
MUSTER_TEST_DEVICES=7 expect 0 "7,,," "$here/on_gpu" shows

real=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/muster/nvidia/cu13/lib
[ -e "$real/libcudart.so.13" ] || exit 0
for each in "$@"; do
  LD_LIBRARY_PATH=$real ldd -r "$each" >"$work/said" 2>&1
  if ! grep -qF "libcudart.so.13 => $real/" "$work/said" || grep -q undefined "$work/said"; then
    echo "on_gpu_test: $each does not run with $real/libcudart.so.13:" >&2
    cat "$work/said" >&2
    exit 1
  fi
done
# Without a driver, the words of NVIDIA's runtime.
if [ ! -e /proc/driver/nvidia ]; then
  LD_LIBRARY_PATH=$real expect 1 "CUDA runtime 13." "$1"
fi
