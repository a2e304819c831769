/* SPDX-License-Identifier: Apache-2.0 */
/* How large gradients are: the root of the mean, over the sequences of the batch, of a sequence's squared
 * gradient. Only to be looked at (--gradient-norm): nothing is computed with it, since its last digits depend
 * on how many ranks there are.
 *
 * With a device plane its sum over the ranks is an all-reduce of the job's own, on the communicator that
 * Muster lends; this is how such a call is written. NCCL is looked up like CUDA's runtime (device.h). */
#ifndef NORM_H
#define NORM_H

#include <muster/muster.h>

#include "device.h"
#include "matrix.h"

struct norm {
    muster_job *job;
    const struct device *device;
    double sum;       /* of squares: own sequences, then everyone's */
    void *device_sum; /* where it is added up */
    double value;     /* what norm_finish has found */
    struct norm_calls {
        int (*all_reduce)(const void *from, void *to, size_t count, int dtype, int operation,
                          struct ncclComm *nccl, void *stream);
        int (*get_async_error)(struct ncclComm *nccl, int *code);
        const char *(*text)(int code);
    } calls;
};

/* norm must be zero. Once, after device_open. */
muster_status norm_open(struct norm *norm, muster_job *job, struct device *device,
                        muster_error *error);

/* Gradients of sequences, a row each. */
struct norm_rows {
    const real *rows;
    int64_t count;
    int64_t elements;     /* that count */
    int64_t row_elements; /* that there are */
};

/* Adds up everyone's squares, on the stream of the device. Collective. */
muster_status norm_start(struct norm *norm, muster_comm *world, const struct norm_rows *own,
                         muster_error *error);

/* Once a later batch of the same stream is complete: the all-reduce lies before it. all: rows of all ranks, which
 * are looked at where there is no device plane. */
muster_status norm_finish(struct norm *norm, const struct norm_rows *all, muster_error *error);

#endif
