/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/imports.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More than an application has; a bound on what a broken peer can make us reserve. */
#define REGIONS_MAX ((uint64_t)1 << 16)

/* A list in the making. */
typedef struct draft {
    muster_host_import *regions;
    size_t region_count;
    uint64_t version;
} draft;

static const muster_host_import *find_id(const muster_host_import *regions, size_t count,
                                         uint64_t id)
{
    for (size_t i = 0; i < count; i++)
        if (regions[i].id == id)
            return &regions[i];
    return NULL;
}

/* Closes what one list has and the other does not share. */
static void drop(muster_host_import *regions, size_t count, const muster_host_import *shared,
                 size_t shared_count)
{
    for (size_t i = 0; i < count; i++)
        if (find_id(shared, shared_count, regions[i].id) == NULL)
            muster_host_mapping_close(&regions[i].mapping);
    free(regions);
}

/* Takes one page of the list; the descriptors are closed here, whatever comes of it. */
static bool take_page(draft *made, const muster_host_imports *imports,
                      const muster_host_reply *reply, const int *fds)
{
    bool ok = made->region_count + reply->fd_count <= reply->region_total;

    for (uint32_t i = 0; i < reply->fd_count; i++) {
        const muster_host_region_entry *entry = &reply->regions[i];
        const muster_host_import *known =
            find_id(imports->regions, imports->region_count, entry->id);
        muster_host_import import = {.id = entry->id, .address = entry->address};

        if (ok && known != NULL)
            import = *known;
        else if (ok)
            ok = muster_host_mapping_open(fds[i], entry->bytes, "a peer's memory", &import.mapping,
                                          NULL) == MUSTER_OK;
        close(fds[i]);
        if (ok)
            made->regions[made->region_count++] = import;
    }
    return ok;
}

/* Gets the whole list. False where it could not be had, in time or at all. */
static bool fetch(draft *made, const muster_host_imports *imports, const muster_host_address *peer,
                  int64_t deadline_ns)
{
    muster_host_patience patience = {.deadline_ns = deadline_ns};

    for (;;) {
        muster_host_request request = {.kind = MUSTER_HOST_REQUEST_EXPORTS,
                                       .exports_version = made->version,
                                       .first_region = made->region_count};
        muster_host_reply reply;
        int fds[MUSTER_HOST_HANDOVER_FDS];
        int native_code;

        /* NOT_YET: the list changed between two pages; the next batch may try again. */
        if (muster_host_handover_ask(peer, &request, &reply, fds, &patience, &native_code) !=
                MUSTER_OK ||
            reply.answer != MUSTER_HOST_ANSWER_OK)
            return false;
        if (made->regions == NULL && reply.region_total <= REGIONS_MAX) {
            /* One more, so that an empty list has an array too. */
            made->regions = calloc((size_t)reply.region_total + 1, sizeof *made->regions);
            made->version = reply.exports_version;
        }
        if (made->regions == NULL || reply.exports_version != made->version) {
            for (uint32_t i = 0; i < reply.fd_count; i++)
                close(fds[i]);
            return false;
        }
        if (!take_page(made, imports, &reply, fds))
            return false;
        if (made->region_count == reply.region_total)
            return true;
        if (reply.fd_count == 0)
            return false;
    }
}

void muster_host_imports_update(muster_host_imports *imports, const muster_host_address *peer,
                                uint64_t announced_version, int64_t deadline_ns)
{
    draft made = {.regions = NULL};

    if (announced_version <= imports->version || announced_version == imports->failed_version)
        return;
    if (!fetch(&made, imports, peer, deadline_ns)) {
        drop(made.regions, made.region_count, imports->regions, imports->region_count);
        imports->failed_version = announced_version;
        return;
    }
    for (size_t i = 0; i < made.region_count; i++)
        if (find_id(imports->regions, imports->region_count, made.regions[i].id) == NULL)
            muster_host_mapping_populate(&made.regions[i].mapping, deadline_ns);
    drop(imports->regions, imports->region_count, made.regions, made.region_count);
    imports->regions = made.regions;
    imports->region_count = made.region_count;
    imports->version = made.version;
}

void muster_host_imports_clean_up(muster_host_imports *imports)
{
    drop(imports->regions, imports->region_count, NULL, 0);
    memset(imports, 0, sizeof *imports);
}

void *muster_host_imports_resolve(const muster_host_imports *imports, uint64_t address,
                                  size_t bytes)
{
    for (size_t i = 0; i < imports->region_count; i++) {
        const muster_host_import *region = &imports->regions[i];

        if (address >= region->address && address - region->address <= region->mapping.bytes &&
            bytes <= region->mapping.bytes - (address - region->address))
            return (char *)region->mapping.memory + (address - region->address);
    }
    return NULL;
}
