#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `muster run --device nccl`: a rank is killed, and a fresh process, or a spare, takes its slot and its device.
set -eu
muster="$MUSTER_BUILD_DIR/bin/muster"
job="$MUSTER_BUILD_DIR/device/device_job"

for spares in 0 1; do
    said=$("$muster" run -n 3 --spares "$spares" --device nccl -- "$job" 2>&1) || {
        echo "$said"
        exit 1
    }
    for line in 'slot 0 of 3 went to the end, incarnation 0' \
                'slot 1 of 3 went to the end, incarnation 1' \
                'slot 2 of 3 went to the end, incarnation 0'; do
        case $said in
        *"$line"*) ;;
        *)
            echo "$said"
            echo "with $spares spares, this is missing: $line"
            exit 1
            ;;
        esac
    done
done
