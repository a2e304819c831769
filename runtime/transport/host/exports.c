/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/exports.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define FIRST_CAPACITY ((size_t)16)

void muster_host_exports_init(muster_host_exports *exports,
                              void (*on_version)(void *context, uint64_t version), void *context)
{
    memset(exports, 0, sizeof *exports);
    pthread_mutex_init(&exports->change_mutex, NULL);
    pthread_mutex_init(&exports->mutex, NULL);
    exports->on_version = on_version;
    exports->context = context;
}

void muster_host_exports_clean_up(muster_host_exports *exports)
{
    for (size_t i = 0; i < exports->region_count; i++) {
        muster_host_mapping *mapping = &exports->regions[i].mapping;

        muster_host_mapping_drop_pages(mapping->fd, mapping->bytes);
        muster_host_mapping_close(mapping);
    }
    free(exports->regions);
    pthread_mutex_destroy(&exports->mutex);
    pthread_mutex_destroy(&exports->change_mutex);
}

static uint64_t next_version(muster_host_exports *exports)
{
    return ++exports->version;
}

static void tell(muster_host_exports *exports)
{
    if (exports->on_version != NULL)
        exports->on_version(exports->context, exports->version);
}

/* The index of the region that starts at memory, or region_count. */
static size_t index_of(const muster_host_exports *exports, const void *memory)
{
    size_t i = 0;

    while (i < exports->region_count && exports->regions[i].mapping.memory != memory)
        i++;
    return i;
}

static bool make_room(muster_host_exports *exports)
{
    size_t capacity = exports->region_capacity == 0 ? FIRST_CAPACITY : exports->region_capacity * 2;
    muster_host_region *regions;

    if (exports->region_count < exports->region_capacity)
        return true;
    regions = realloc(exports->regions, capacity * sizeof *regions);
    if (regions == NULL)
        return false;
    exports->regions = regions;
    exports->region_capacity = capacity;
    return true;
}

muster_status muster_host_exports_alloc(muster_host_exports *exports, size_t bytes, void **memory,
                                        muster_error *error)
{
    muster_host_mapping mapping;
    muster_status status;
    bool added = false;

    *memory = NULL;
    if (bytes == 0)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_BYTES, 1, 0,
                                "bytes: at least 1 was expected, 0 came; skip the call where there "
                                "is nothing to hold");
    status = muster_host_mapping_create(bytes, NULL, "memory for the application", &mapping, error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&exports->change_mutex);
    pthread_mutex_lock(&exports->mutex);
    if (make_room(exports)) {
        exports->regions[exports->region_count++] =
            (muster_host_region){.id = next_version(exports), .bytes = bytes, .mapping = mapping};
        tell(exports);
        added = true;
    }
    pthread_mutex_unlock(&exports->mutex);
    pthread_mutex_unlock(&exports->change_mutex);
    if (!added) {
        muster_host_mapping_close(&mapping);
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_BYTES, 0, (int64_t)bytes,
                                "no memory for the list of allocated regions");
    }
    *memory = mapping.memory;
    return muster_error_set_ok(error);
}

muster_status muster_host_exports_free(muster_host_exports *exports, void *memory)
{
    muster_host_mapping mapping = MUSTER_HOST_MAPPING_NONE;
    size_t i;

    pthread_mutex_lock(&exports->change_mutex);
    pthread_mutex_lock(&exports->mutex);
    i = index_of(exports, memory);
    if (i < exports->region_count) {
        mapping = exports->regions[i].mapping;
        exports->regions[i] = exports->regions[--exports->region_count];
        next_version(exports);
        tell(exports);
    }
    pthread_mutex_unlock(&exports->mutex);
    pthread_mutex_unlock(&exports->change_mutex);
    if (mapping.memory == NULL)
        return MUSTER_ERR_INVALID_ARGUMENT;
    /* A peer keeps its mapping until it looks at the list again, perhaps never: the memory must not wait
     * for that. */
    muster_host_mapping_drop_pages(mapping.fd, mapping.bytes);
    muster_host_mapping_close(&mapping);
    return MUSTER_OK;
}

uint64_t muster_host_exports_find(muster_host_exports *exports, const void *address, size_t bytes)
{
    uintptr_t wanted = (uintptr_t)address;
    uint64_t version = 0;

    pthread_mutex_lock(&exports->mutex);
    for (size_t i = 0; i < exports->region_count; i++) {
        const muster_host_region *region = &exports->regions[i];
        uintptr_t start = (uintptr_t)region->mapping.memory;

        if (wanted >= start && wanted - start <= region->bytes &&
            bytes <= region->bytes - (wanted - start)) {
            version = region->id;
            break;
        }
    }
    pthread_mutex_unlock(&exports->mutex);
    return version;
}

muster_status muster_host_exports_abandon(muster_host_exports *exports, muster_error *error)
{
    muster_status status = MUSTER_OK;

    /* Nobody else changes the list meanwhile, so indices and mappings stay; only the listener reads. */
    pthread_mutex_lock(&exports->change_mutex);
    for (size_t i = 0; i < exports->region_count && status == MUSTER_OK; i++) {
        muster_host_mapping old = exports->regions[i].mapping;
        muster_host_mapping fresh;

        status = muster_host_mapping_create(old.bytes, old.memory,
                                            "fresh memory in the place of what a lost rank may "
                                            "still write",
                                            &fresh, error);
        if (status != MUSTER_OK)
            break;
        pthread_mutex_lock(&exports->mutex);
        exports->regions[i].mapping = fresh;
        exports->regions[i].id = next_version(exports);
        tell(exports);
        pthread_mutex_unlock(&exports->mutex);
        muster_host_mapping_drop_pages(old.fd, old.bytes);
        muster_host_mapping_close_fd(&old);
    }
    pthread_mutex_unlock(&exports->change_mutex);
    return status == MUSTER_OK ? muster_error_set_ok(error) : status;
}

void muster_host_exports_announce(muster_host_exports *exports)
{
    pthread_mutex_lock(&exports->mutex);
    tell(exports);
    pthread_mutex_unlock(&exports->mutex);
}

uint64_t muster_host_exports_version(muster_host_exports *exports)
{
    uint64_t version;

    pthread_mutex_lock(&exports->mutex);
    version = exports->version;
    pthread_mutex_unlock(&exports->mutex);
    return version;
}

void muster_host_exports_answer(muster_host_exports *exports, int fd,
                                const muster_host_request *request)
{
    muster_host_reply reply;
    int fds[MUSTER_HOST_HANDOVER_FDS];

    memset(&reply, 0, sizeof reply);
    /* Held over the sending, so that no descriptor is closed, and its number reused, in between. */
    pthread_mutex_lock(&exports->mutex);
    reply.answer = MUSTER_HOST_ANSWER_OK;
    reply.exports_version = exports->version;
    reply.region_total = exports->region_count;
    if (request->first_region > 0 && request->exports_version != exports->version)
        reply.answer = MUSTER_HOST_ANSWER_NOT_YET;
    else
        for (uint64_t i = request->first_region;
             i < exports->region_count && reply.fd_count < MUSTER_HOST_HANDOVER_FDS; i++) {
            const muster_host_region *region = &exports->regions[i];

            fds[reply.fd_count] = region->mapping.fd;
            reply.regions[reply.fd_count++] =
                (muster_host_region_entry){.id = region->id,
                                           .address = (uint64_t)(uintptr_t)region->mapping.memory,
                                           .bytes = region->mapping.bytes};
        }
    muster_host_handover_send_reply(fd, &reply, fds);
    pthread_mutex_unlock(&exports->mutex);
}
