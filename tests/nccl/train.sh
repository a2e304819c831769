#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job (deploy/examples/moe_train) over real NCCL: its losses are those of the host plane bit for bit,
# undisturbed and through losses of ranks. train.sh short|thorough, under tests/emulated_device/run or on_gpu.
set -uo pipefail

muster=$MUSTER_BUILD_DIR/bin/muster
moe_train=$MUSTER_BUILD_DIR/bin/moe_train
over=${MUSTER_EMULATED_OVER:-local}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ranks=4
steps=16
step_delay_ms=200
train_options=()
if [ "$1" = short ]; then
  ranks=3
  steps=8
fi
half=$((steps * 3 / 8))

fail() {
  echo "train: over $over: $*" >&2
  [ -e "$work/log" ] && tail -n 60 "$work/log" >&2
  exit 1
}

# job LOSSES RUN-OPTIONS...: runs it to a good end. A silence must outlast the pauses of a machine under load.
job() {
  local losses=$1 came=0
  shift
  timeout 200 "$muster" run -n $ranks --heartbeat-ms 50 --suspect-ms 1000 --silence-ms 4000 \
    --reconnect-ms 500 --batch-ms 60000 "$@" -- "$moe_train" --steps $steps \
    --losses "$work/$losses" "${train_options[@]}" >"$work/log" 2>&1 || came=$?
  [ "$came" = 0 ] || fail "$losses: muster run $*: code $came"
  # The last line of a step counts.
  awk '{ loss[$1] = $2 } END { for (step in loss) print step, loss[step] }' "$work/$losses" |
    sort -n >"$work/$losses.steps"
  [ "$(wc -l <"$work/$losses.steps")" = $steps ] || fail "$losses: not all steps have a loss"
}

# on_device LOSSES RUN-OPTIONS...: the same on devices, with the same bits.
on_device() {
  local losses=$1
  job "$@" --device nccl
  [ "$(grep -c 'tensors are on device' "$work/log")" -ge $ranks ] ||
    fail "$losses: not every rank had its tensors on a device"
  cmp -s "$work/host.steps" "$work/$losses.steps" || fail "$losses: the losses differ"
  echo "train: over $over: $losses: the losses of the host plane"
}

# lost LOSSES HOW-MANY RUN-OPTIONS...: ranks are lost on the way, which is seen in the log. The steps take their time,
# so that nobody kills too late.
lost() {
  local losses=$1 expected=$2
  shift 2
  train_options+=(--step-delay-ms "$step_delay_ms")
  on_device "$losses" "$@"
  [ "$(grep -c 'muster: verdict: ' "$work/log")" -ge "$expected" ] ||
    fail "$losses: fewer than $expected ranks were lost"
  grep -q 'restored step' "$work/log" || fail "$losses: nothing was restored"
}

wait_for_step() {
  until grep -q "step $1 " "$work/log" 2>/dev/null; do
    [ -d "$work" ] || exit # the test has failed
    sleep 0.02
  done
}

# Kills the processes of these slots at once, in the middle of a step.
kill_at_once() {
  local slot pid pids=()
  wait_for_step 1
  for slot in "$@"; do
    for pid in $(pgrep -f "$work/at_once"); do
      [ "$(readlink "/proc/$pid/exe")" = "$(realpath "$moe_train")" ] &&
        tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "MUSTER_SLOT=$slot" && pids+=("$pid")
    done
  done
  wait_for_step "$half"
  kill -KILL "${pids[@]}"
}

job host
if [ "$1" = short ]; then
  lost root_killed 1 --drill "slot=0,step=$half,signal=KILL"
  exit 0
fi
on_device undisturbed
grep -q ' rows .* 0 ' "$work/log" || fail "no rank ever had zero rows"
lost root_replaced 1 --drill "slot=0,step=$half,signal=KILL"
lost rank_replaced 1 --drill "slot=2,step=$half,signal=KILL"
lost root_shrunk 1 --on-loss shrink --drill "slot=0,step=$half,signal=KILL"
lost rank_shrunk 1 --on-loss shrink --drill "slot=3,step=$half,signal=KILL"
lost killed_twice 2 --drill "slot=1,step=$half,signal=KILL,again=$((half + 3))"
lost shrunk_twice 2 --on-loss shrink --drill "slot=1,step=$half,signal=KILL,again=$((half + 3))"
lost stopped 1 --drill "slot=1,step=$half,signal=STOP"

# Slots that do not hold each other's mirror.
# Who kills looks for them among all processes of the machine, which takes its time under load.
rm "$work/log"
step_delay_ms=500
kill_at_once 0 2 &
lost at_once 2
wait
step_delay_ms=200

# The size of gradients, added up by an all-reduce of the job's own on the communicator that Muster lends. The
# order of additions may be another one, so the last digit too.
gradients() {
  sed -n 's/.* step \([0-9]*\) loss .* gradient /\1 /p' "$work/log" | awk '{ of[$1] = $2 }
    END { for (step in of) print step, of[step] }' | sort -n
}
train_options+=(--gradient-norm)
job host_gradients
gradients >"$work/host.gradients"
[ "$(wc -l <"$work/host.gradients")" = $steps ] || fail "gradients: the root did not print all steps"
lost gradients 1 --drill "slot=2,step=$half,signal=KILL"
gradients | paste -d' ' "$work/host.gradients" - | awk -v steps=$steps '
  { d = ($4 - $2) / $2; if ($1 == $3 && d < 1e-3 && d > -1e-3) same++ }
  END { exit same != steps }' || fail "gradients: the norms differ"
echo "train: over $over: gradients: the norms of the host plane"
