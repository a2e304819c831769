/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/device_check.h"

#include "base/error.h"

bool muster_device_check_allowed(const muster_comm *comm)
{
    return comm->job->device.device != NULL;
}

static const char *kind_text(int32_t kind)
{
    return kind == MUSTER_MEMORY_DEVICE ? "device" : "host";
}

muster_status muster_device_check_tensor(const muster_comm *comm, const muster_tensor *tensor,
                                         size_t bytes, int32_t *kind, muster_error *error)
{
    const muster_device_plane *plane = &comm->job->device;
    if (*kind == 0)
        *kind = (int32_t)tensor->memory_kind;
    if (*kind != (int32_t)tensor->memory_kind)
        return muster_error_set(error, MUSTER_ERR_MEMORY_KIND, MUSTER_FIELD_MEMORY_KIND, *kind,
                                tensor->memory_kind,
                                "kind of memory: expected %s, as the batch's first tensor, came "
                                "%s; all tensors of one batch lie in one kind",
                                kind_text(*kind), kind_text((int32_t)tensor->memory_kind));
    if (tensor->memory_kind != MUSTER_MEMORY_DEVICE)
        return MUSTER_OK;
    if (tensor->device != plane->facts.device)
        return muster_error_set(error, MUSTER_ERR_WRONG_DEVICE, MUSTER_FIELD_DEVICE,
                                plane->facts.device, tensor->device,
                                "device: expected %d, this rank's, came %d", plane->facts.device,
                                tensor->device);
    if (bytes == 0)
        return MUSTER_OK;
    return plane->table->check_memory(plane->device, tensor->data, bytes, error);
}

muster_status muster_device_check_stream(const muster_comm *comm, muster_error *error)
{
    const muster_device_plane *plane = &comm->job->device;
    return plane->table->check_stream(plane->device, comm->device.stream, error);
}

muster_status muster_device_check_host(const muster_job *job, const void *data, size_t bytes,
                                       const char *call, muster_error *error)
{
    const muster_device_plane *plane = &job->device;
    if (plane->device == NULL || data == NULL || bytes == 0)
        return MUSTER_OK;
    muster_status status = plane->table->check_memory(plane->device, data, bytes, NULL);
    if (status != MUSTER_OK && status != MUSTER_ERR_WRONG_DEVICE)
        return MUSTER_OK;
    return muster_error_set(error, MUSTER_ERR_MEMORY_KIND, MUSTER_FIELD_MEMORY_KIND,
                            MUSTER_MEMORY_HOST, MUSTER_MEMORY_DEVICE,
                            "%s takes host memory, came device memory; copy it to the host first",
                            call);
}
