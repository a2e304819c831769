/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/stuck.h"

#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "transport/nccl/clock.h"
#include "transport/nccl/failure.h"

static muster_status end_if_wanted(const muster_device *device, const muster_error *stuck,
                                   muster_error *error)
{
    if (device->exit_when_stuck) {
        dprintf(STDERR_FILENO, "muster: %s; ends with exit code %d\n", stuck->message,
                MUSTER_DEVICE_STUCK_EXIT_CODE);
        _exit(MUSTER_DEVICE_STUCK_EXIT_CODE);
    }
    muster_error_set(error, MUSTER_ERR_DEVICE_STUCK, MUSTER_FIELD_TIMEOUT, stuck->expected, 0, "%s",
                     stuck->message);
    if (error != NULL && error->struct_bytes >= sizeof(*error))
        error->native_code = stuck->native_code;
    return MUSTER_ERR_DEVICE_STUCK;
}

muster_status muster_nccl_stuck_late(const muster_device *device, bool inside, muster_error *error)
{
    const int64_t bound_ns =
        muster_nccl_clock_after_ns(device->abort_timeout_ns, device->bracket_timeout_ns);
    muster_error stuck;
    muster_error_init(&stuck);
    muster_error_set(&stuck, MUSTER_ERR_DEVICE_STUCK, MUSTER_FIELD_TIMEOUT, bound_ns, 0,
                     "device %d: this rank's NCCL communicators were not ended in time (%lld ms): "
                     "%s; end this process and start another",
                     (int)device->index, (long long)(bound_ns / MUSTER_NCCL_MILLISECOND_NS),
                     inside ? "a thread is inside NCCL, or has not returned a borrowed communicator"
                            : "ncclCommAbort has not come back");
    return end_if_wanted(device, &stuck, error);
}

muster_status muster_nccl_stuck_failed(const muster_device *device, ncclResult_t result,
                                       muster_error *error)
{
    muster_error stuck;
    muster_error_init(&stuck);
    (void)muster_nccl_failure(&device->library, result, "ncclCommAbort", &stuck);
    muster_error_prefix(&stuck,
                        "device %d: an NCCL communicator may still use this rank's buffers; end "
                        "this process and start another: ",
                        (int)device->index);
    return end_if_wanted(device, &stuck, error);
}
