/* SPDX-License-Identifier: Apache-2.0 */
/* The device plane of one job: its plug-in, its device, and what a loss does to them. A job without one
 * has table NULL, and everything here is then nothing to do.
 *
 * Why a lock of its own around revoke and enter: the agent thread revokes for the epoch that the device
 * serves. Without the lock it could look at the old epoch, be held up, and abort what the working thread
 * connects for the next one. */
#ifndef MUSTER_COMM_DEVICE_PLANE_H
#define MUSTER_COMM_DEVICE_PLANE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <muster/job.h>

#include "transport/device.h"

typedef struct muster_device_plane {
    const muster_device_table *table; /* NULL: host memory only */
    muster_device *device;            /* NULL until it is open: a spare has no slot yet */
    muster_device_facts facts;
    pthread_mutex_t lock; /* epoch and what is asked of the device because of it; a leaf */
    uint64_t epoch;       /* the one whose communicators the device serves */
    atomic_bool stuck;    /* it did not let go once: nothing of it may be trusted again */
} muster_device_plane;

/* Before anything else; cannot fail. */
void muster_device_plane_init(muster_device_plane *plane);
void muster_device_plane_clean_up(muster_device_plane *plane); /* closes the device, too */

/* That options of a device plane are usable. */
muster_status muster_device_plane_check(const muster_job_options *options, muster_error *error);

/* Loads the plug-in where options ask for one. MUSTER_ERR_LIBRARY. */
muster_status muster_device_plane_load(muster_device_plane *plane,
                                       const muster_job_options *options, muster_error *error);
/* True where the device depends on a slot that is not known yet (a spare's). */
bool muster_device_plane_waits_for_slot(const muster_job_options *options);
/* Opens the device of a rank in `slot`; nothing to do where it is open or none is wanted. The errors of the
 * table's open. May block for as long as the driver takes to start. */
muster_status muster_device_plane_open(muster_device_plane *plane,
                                       const muster_job_options *options, int32_t slot,
                                       muster_error *error);
/* How long an abort of the device may take in all, ns. */
int64_t muster_device_plane_abort_ns(const muster_job_options *options);

/* The device serves `epoch` from now on. */
void muster_device_plane_enter(muster_device_plane *plane, uint64_t epoch);

/* Begins the abort; returns at once. Any thread. */
void muster_device_plane_revoke(muster_device_plane *plane, bool keep_healthy);
/* The same where is_over says so of the epoch that the device serves; asked under the plane's lock. */
void muster_device_plane_revoke_epoch(muster_device_plane *plane, bool keep_healthy,
                                      bool (*is_over)(void *context, uint64_t epoch),
                                      void *context);
/* Notes what an end of a communicator came to; gives it back. */
muster_status muster_device_plane_note(muster_device_plane *plane, muster_status status);
/* Begins it and waits until it is through: MUSTER_OK, or MUSTER_ERR_DEVICE_STUCK. */
muster_status muster_device_plane_abort(muster_device_plane *plane, bool keep_healthy,
                                        muster_error *error);

#endif
