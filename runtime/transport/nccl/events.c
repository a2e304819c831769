/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/nccl/events.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "transport/nccl/current.h"
#include "transport/nccl/failure.h"

muster_status muster_nccl_events_take(muster_nccl_events *events, const muster_device *device,
                                      cudaEvent_t *event, muster_error *error)
{
    if (events->idle_count > 0) {
        *event = events->idle[--events->idle_count];
        return MUSTER_OK;
    }
    /* Room for every event that was made, so that putting one back cannot fail. */
    if (events->made == events->capacity) {
        const size_t capacity = events->capacity == 0 ? 8 : events->capacity * 2;
        cudaEvent_t *idle = realloc(events->idle, capacity * sizeof(*idle));
        if (idle == NULL)
            return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                    "no memory for %zu events", capacity);
        events->idle = idle;
        events->capacity = capacity;
    }
    const cudaError_t code =
        device->library.cudaEventCreateWithFlags(event, cudaEventDisableTiming);
    if (code != cudaSuccess)
        return muster_nccl_failure_cuda(&device->library, code, "cudaEventCreateWithFlags", error);
    events->made++;
    return MUSTER_OK;
}

void muster_nccl_events_put(muster_nccl_events *events, cudaEvent_t event)
{
    MUSTER_ASSERT(events->idle_count < events->made);
    events->idle[events->idle_count++] = event;
}

void muster_nccl_events_clean_up(muster_nccl_events *events, const muster_device *device)
{
    muster_nccl_current current;
    MUSTER_ASSERT(events->idle_count == events->made);
    if (events->made > 0) {
        const muster_status status = muster_nccl_current_set(device, &current, NULL);
        for (size_t i = 0; i < events->idle_count; i++)
            (void)device->library.cudaEventDestroy(events->idle[i]);
        if (status == MUSTER_OK)
            muster_nccl_current_restore(device, &current);
    }
    free(events->idle);
    *events = (muster_nccl_events){0};
}
