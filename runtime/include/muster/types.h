/* SPDX-License-Identifier: Apache-2.0 */
/* Words that every header shares.
 *
 * slot         a place in the job, 0 .. slot_count-1; it outlives the processes that fill it
 * incarnation  the how-manieth process that fills a slot, from 0
 * epoch        one membership of the job; only grows; 0 means "none yet"
 * rank         an index that is dense within one communicator of one epoch, 0 .. size-1 */
#ifndef MUSTER_TYPES_H
#define MUSTER_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>

/* Wrapped, so that an epoch cannot be passed where a step, a sequence or a rank is wanted. */
typedef struct muster_epoch {
    uint64_t value;
} muster_epoch;

/* "No rank", "no root", "no modifier". */
#define MUSTER_RANK_NONE (-1)

/* A timeout argument that means: inherit the communicator's own batch timeout. */
#define MUSTER_TIMEOUT_INHERIT_NS ((int64_t)-1)

typedef struct muster_job muster_job;
typedef struct muster_comm muster_comm;
typedef struct muster_request muster_request;
typedef struct muster_batch muster_batch;
typedef struct muster_phase_context muster_phase_context;
typedef struct muster_param muster_param;
typedef struct muster_params_scope muster_params_scope;

#endif
