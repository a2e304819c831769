#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# deploy/demo as a person runs it, for each slot and once more in a row: demo.sh KILL|STOP
# replace|shrink. With nccl: once of each over devices. Without arguments: what it refuses.
set -uo pipefail

demo=$MUSTER_SOURCE_DIR/deploy/demo
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "demo: $*" >&2
  tail -n 60 "$work/log" >&2
  exit 1
}

refused() { # what-it-says options...
  local says=$1 came=0
  shift
  "$demo" "$@" >"$work/log" 2>&1 </dev/null || came=$?
  [ "$came" = 2 ] || fail "deploy/demo $*: code $came instead of 2"
  grep -q -- "$says" "$work/log" || fail "deploy/demo $*: does not say '$says'"
  [ "$(wc -l <"$work/log")" = 1 ] || fail "deploy/demo $*: more than a sentence"
}

passes() {
  "$demo" --steps 24 --keep "$work/keep" "$@" >"$work/log" 2>&1 </dev/null ||
    fail "deploy/demo $* did not end well"
  tail -n 1 "$work/log" | grep -q '^demo: PASS ranks=.* matches_undisturbed=yes' ||
    fail "deploy/demo $*: another last line"
  tail -n 1 "$work/log"
}

if [ $# = 0 ]; then
  : >"$work/empty"
  refused "unknown option '--slots'" --slots 3
  refused "'1' came" --ranks 1
  refused "'many' came" --steps many
  refused "no slot of 4 ranks" --kill-slot 4
  refused "KILL or STOP" --signal TERM
  refused "replace or shrink" --on-loss retry
  refused "--device is nccl" --device gpu
  refused "nothing follows" --ranks
  refused "is missing" --text "$work/none"
  refused "is empty" --text "$work/empty"
  refused "not a file" --text "$work"
  refused "at least 3 ranks" --on-loss shrink --again --ranks 2
  exit 0
fi

if [ "$1" = nccl ]; then
  passes --device nccl
  passes --device nccl --on-loss shrink --kill-slot 0 --signal STOP
  exit 0
fi
for slot in 0 1 2 3; do
  passes --signal "$1" --on-loss "$2" --kill-slot "$slot"
done
passes --signal "$1" --on-loss "$2" --kill-slot 0 --again
passes --signal "$1" --on-loss "$2" --ranks 2
