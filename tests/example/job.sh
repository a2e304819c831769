#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The example as a job of real processes: the same bits for any number of ranks and through any loss;
# what it does when state is lost, when it is asked to stop, and with bad input.
set -uo pipefail

muster=$MUSTER_BUILD_DIR/bin/muster
moe_train=$MUSTER_BUILD_DIR/bin/moe_train
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Sanitizers slow the job down twentyfold: fewer steps and fewer losses there.
steps=24
thorough=yes
if grep -q '^MUSTER_SANITIZE:STRING=.' "$MUSTER_BUILD_DIR/CMakeCache.txt"; then
  steps=10
  thorough=no
fi
half=$((steps / 2))

fail() {
  echo "example: $*" >&2
  [ -e "$work/log" ] && tail -n 60 "$work/log" >&2
  exit 1
}

# job LOSSES CODE RUN-OPTIONS... -- JOB-OPTIONS...: runs it, and wants this exit code.
job() {
  local losses=$1 code=$2 came=0
  local run=() rest=()
  shift 2
  while [ "$1" != -- ]; do
    run+=("$1")
    shift
  done
  shift
  rest=("$@")
  timeout 100 "$muster" run --heartbeat-ms 50 --suspect-ms 300 --silence-ms 1500 --reconnect-ms 500 \
    --batch-ms 60000 "${run[@]}" -- "$moe_train" --steps $steps --losses "$work/$losses" \
    "${rest[@]}" >"$work/log" 2>&1 || came=$?
  [ "$came" = "$code" ] || fail "muster run ${run[*]} -- ${rest[*]}: code $came instead of $code"
}

# The last line of a step counts.
same_as_undisturbed() {
  for file in undisturbed "$1"; do
    awk '{ loss[$1] = $2 } END { for (step in loss) print step, loss[step] }' "$work/$file" |
      sort -n >"$work/$file.steps"
  done
  [ "$(wc -l <"$work/$1.steps")" = $steps ] || fail "$1: not all steps have a loss"
  cmp -s "$work/undisturbed.steps" "$work/$1.steps" || fail "$1: the losses differ"
  echo "example: $1: the same bits"
}

job undisturbed 0 -n 4 --
grep -q ' rows .* 0 ' "$work/log" || fail "no rank ever had zero rows"
job one_rank 0 -n 1 --
same_as_undisturbed one_rank
job three_ranks 0 -n 3 --
same_as_undisturbed three_ranks

slots=(0 2 3)
[ $thorough = yes ] || slots=(0)
for slot in "${slots[@]}"; do
  job "kill_${slot}_replace" 0 -n 4 --drill "slot=$slot,step=$half,signal=KILL" --
  grep -q 'restored step' "$work/log" || fail "slot $slot: nothing was restored"
  same_as_undisturbed "kill_${slot}_replace"
done
slots=(0 1)
[ $thorough = yes ] || slots=(2)
for slot in "${slots[@]}"; do
  job "kill_${slot}_shrink" 0 -n 4 --on-loss shrink --drill "slot=$slot,step=$half,signal=KILL" --
  grep -q 'ranks 3' "$work/log" || fail "slot $slot: the job did not go on with 3 ranks"
  same_as_undisturbed "kill_${slot}_shrink"
done
if [ $thorough = yes ]; then
  job twice 0 -n 4 --drill "slot=1,step=$half,signal=KILL,again=$((half + 3))" --
  same_as_undisturbed twice
fi
job stopped 0 -n 3 --drill "slot=1,step=$half,signal=STOP" --
same_as_undisturbed stopped

# A death at the very end, while the ranks take leave: whoever lives ends well, and every step counts.
# (Where the others have left already nobody can replace the dead: `muster run` may say so, code 3.)
for slot in 0 1; do
  rm -f "$work/at_end"
  came=0
  timeout 60 "$muster" run -n 3 --drill "slot=$slot,step=$steps,signal=KILL" -- "$moe_train" \
    --steps "$steps" --losses "$work/at_end" >"$work/log" 2>&1 || came=$?
  [ "$came" = 0 ] || [ "$came" = 3 ] || fail "a death at the end: code $came"
  ! grep 'incarnation 0' "$work/log" | grep -q 'ended with exit code' ||
    fail "a death at the end: a survivor did not end well"
  same_as_undisturbed at_end
done

# A checkpoint is gone on from, with another number of ranks.
rm -f "$work/undisturbed.steps"
timeout 60 "$muster" run -n 4 -- "$moe_train" --steps "$half" --checkpoint "$work/checkpoint" \
  --checkpoint-every "$half" --losses "$work/resumed" >"$work/log" 2>&1 || fail "the first half"
timeout 60 "$muster" run -n 2 -- "$moe_train" --steps "$steps" --checkpoint "$work/checkpoint" \
  --checkpoint-every "$half" --losses "$work/resumed" >"$work/log" 2>&1
# --steps is part of what ranks agree on, not of what a checkpoint must match.
grep -q "going on from the checkpoint of step $half" "$work/log" || fail "the checkpoint was not used"
same_as_undisturbed resumed

# SIGTERM is an orderly end with a checkpoint.
timeout 60 "$muster" run -n 3 -- "$moe_train" --steps 100000 --checkpoint "$work/stop" \
  >"$work/log" 2>&1 &
launcher=$!
for _ in $(seq 200); do
  grep -q 'step 3 ' "$work/log" && break
  sleep 0.05
done
kill -TERM "$(pgrep -P $launcher)" # the launcher, behind timeout
wait $launcher
[ -e "$work/stop" ] || fail "SIGTERM left no checkpoint"

# Bad input: a sentence and the documented code, and no hang.
refused() { # what-it-says options...
  local says=$1 came=0
  shift
  timeout 20 "$moe_train" "$@" >"$work/log" 2>&1 || came=$?
  [ "$came" = 2 ] || fail "moe_train $*: code $came instead of 2"
  grep -q -- "$says" "$work/log" || fail "moe_train $*: does not say '$says'"
}
: >"$work/empty"
refused "'$work/empty' has 0 bytes" --text "$work/empty"
refused "No such file" --text "$work/missing"
refused "Is a directory" --text "$work"
refused "unknown option '--ranks'" --ranks 4
refused "nothing follows" --steps
refused "wants a whole number" --steps -1
came=0
env -u MUSTER_COORDINATOR timeout 20 "$moe_train" >"$work/log" 2>&1 || came=$?
[ "$came" = 4 ] || fail "without a coordinator: code $came instead of 4"
grep -q MUSTER_COORDINATOR "$work/log" || fail "a missing environment is not named"
echo "example: good"
