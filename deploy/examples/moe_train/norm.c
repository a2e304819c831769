/* SPDX-License-Identifier: Apache-2.0 */
#include "norm.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Of nccl.h, the same in all its versions. */
enum { SUCCESS = 0, IN_PROGRESS = 7, FLOAT64 = 8, SUM = 0 };

muster_status norm_open(struct norm *norm, muster_job *job, struct device *device,
                        muster_error *error)
{
    norm->job = job;
    norm->device = device;
    if (!device_in_use(device)) {
        return MUSTER_OK;
    }
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_NOLOAD);
    if (library == NULL) {
        return device_fail(error, "libnccl.so.2", "is not the name of the NCCL that is loaded");
    }
    const struct device_symbol wanted[] = {{"ncclAllReduce", &norm->calls.all_reduce},
                                           {"ncclCommGetAsyncError", &norm->calls.get_async_error},
                                           {"ncclGetErrorString", &norm->calls.text}};
    muster_status status = device_find(library, wanted, sizeof wanted / sizeof *wanted, error);
    return status != MUSTER_OK
               ? status
               : device_allocate(device, sizeof norm->sum, &norm->device_sum, error);
}

static double squares(const struct norm_rows *rows)
{
    double sum = 0;
    for (int64_t row = 0; row < rows->count; row++) {
        const real *at = rows->rows + row * rows->row_elements;
        for (int64_t i = 0; i < rows->elements; i++) {
            sum += (double)at[i] * (double)at[i];
        }
    }
    return sum;
}

/* The communicator is non-blocking: a call says "in progress", and another thread of NCCL enqueues it. Until
 * that is done nothing else may be called on it, so the bracket stays open; but an abort after a loss waits for the
 * bracket, so it does not stay open once the epoch is revoked. */
static int wait_enqueued(const struct norm *norm, struct ncclComm *nccl, int code)
{
    const struct timespec nap = {.tv_nsec = 20000};
    while (code == IN_PROGRESS && !muster_job_revoked(norm->job)) {
        nanosleep(&nap, NULL);
        const int asked = norm->calls.get_async_error(nccl, &code);
        code = asked != SUCCESS ? asked : code;
    }
    return code;
}

muster_status norm_start(struct norm *norm, muster_comm *world, const struct norm_rows *own,
                         muster_error *error)
{
    if (!device_in_use(norm->device)) {
        return MUSTER_OK;
    }
    norm->sum = squares(own);
    muster_status status =
        device_write(norm->device, norm->device_sum, &norm->sum, sizeof norm->sum, error);
    if (status != MUSTER_OK) {
        return status;
    }
    struct ncclComm *nccl = NULL;
    status = muster_comm_borrow_nccl(world, &nccl, error);
    if (status != MUSTER_OK) {
        return status;
    }
    int code = norm->calls.all_reduce(norm->device_sum, norm->device_sum, 1, FLOAT64, SUM, nccl,
                                      norm->device->stream);
    code = wait_enqueued(norm, nccl, code);
    status = muster_comm_return_nccl(world);
    if (status != MUSTER_OK || code == SUCCESS) {
        return status; /* after a loss NCCL's own code says nothing new */
    }
    /* Often a death shows here first: the rebuild will say. */
    (void)device_fail(error, "ncclAllReduce", norm->calls.text(code));
    error->status = MUSTER_ERR_DEVICE_CALL;
    return MUSTER_ERR_DEVICE_CALL;
}

muster_status norm_finish(struct norm *norm, const struct norm_rows *all, muster_error *error)
{
    muster_status status = MUSTER_OK;
    if (device_in_use(norm->device)) {
        status = device_read(norm->device, &norm->sum, norm->device_sum, sizeof norm->sum, error);
    } else {
        norm->sum = squares(all);
    }
    norm->value = sqrt(norm->sum / (double)all->count);
    return status;
}
