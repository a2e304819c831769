/* SPDX-License-Identifier: Apache-2.0 */
/* A rank's device: the libraries, its communicators, and the state of a revoke. */
#ifndef MUSTER_TRANSPORT_NCCL_DEVICE_H
#define MUSTER_TRANSPORT_NCCL_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "transport/device.h"
#include "transport/nccl/bootstrap.h"
#include "transport/nccl/library.h"

struct muster_device {
    muster_nccl_library library;
    int32_t index;
    int64_t abort_timeout_ns;
    int64_t bracket_timeout_ns;
    bool exit_when_stuck;
    /* The driver's functions and its context of the device, from the thread's beginning (current.h); NULL where
     * the runtime has no way to them. */
    int (*context_get)(void **context);
    int (*context_set)(void *context);
    void *context;
    struct timespec opened; /* CLOCK_REALTIME_COARSE, as files have it */

    pthread_t thread;
    pthread_mutex_t lock;   /* held for a moment only: never over a call into a library */
    pthread_cond_t changed; /* CLOCK_MONOTONIC */
    /* All below under the lock. */
    muster_device_comm *comms; /* oldest first: a parent before what was shrunk from it */
    muster_nccl_bootstrap *bootstraps;
    bool revoked;
    int64_t revoked_ns;
    bool begun;             /* the thread has tried the device, */
    cudaError_t begin_code; /* and this came of it */
    bool stopping;
    int32_t owners; /* the handle, and the thread: whoever is last frees */
};

muster_status muster_nccl_device_open(const muster_device_options *options, muster_device **device,
                                      muster_error *error);
void muster_nccl_device_close(muster_device *device);
void muster_nccl_device_facts(const muster_device *device, muster_device_facts *facts);

/* Frees the device with its last owner. Called with the lock held; releases it. */
void muster_nccl_device_disown(muster_device *device);

#endif
