/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/device_plane.h"

#include <dlfcn.h>
#include <string.h>

#include "base/error.h"
#include "plugin/plugin.h"

#define ABORT_TIMEOUT_DEFAULT_NS INT64_C(30000000000)
#define BRACKET_TIMEOUT_DEFAULT_NS INT64_C(5000000000)

typedef const muster_device_table *(*device_plugin_function)(void);

void muster_device_plane_init(muster_device_plane *plane)
{
    memset(plane, 0, sizeof(*plane));
    pthread_mutex_init(&plane->lock, NULL);
}

void muster_device_plane_clean_up(muster_device_plane *plane)
{
    if (plane->device != NULL)
        plane->table->close(plane->device);
    plane->device = NULL;
    pthread_mutex_destroy(&plane->lock);
}

static muster_status refuse_option(muster_error *error, muster_field field, int64_t expected,
                                   int64_t came, const char *sentence)
{
    return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, field, expected, came, "%s",
                            sentence);
}

muster_status muster_device_plane_check(const muster_job_options *options, muster_error *error)
{
    if (memchr(options->device_plane, '\0', sizeof(options->device_plane)) == NULL ||
        (options->device_plane[0] != '\0' && strcmp(options->device_plane, "nccl") != 0))
        return refuse_option(
            error, MUSTER_FIELD_OPTION, 0, 0,
            "options->device_plane must be \"nccl\", or empty for host memory only");
    if (options->device < -1)
        return refuse_option(error, MUSTER_FIELD_DEVICE, -1, options->device,
                             "options->device must be an index from 0, or -1 for the current one");
    if (options->device_first_slot < 0 || options->device_slot_count < 0 ||
        options->device_count < 0)
        return refuse_option(error, MUSTER_FIELD_DEVICE, 0, -1,
                             "options->device_first_slot, device_slot_count and device_count must "
                             "be >= 0");
    if (options->device_abort_timeout_ns < 0 || options->device_bracket_timeout_ns < 0)
        return refuse_option(error, MUSTER_FIELD_TIMEOUT, 0, -1,
                             "options->device_abort_timeout_ns and device_bracket_timeout_ns must "
                             "be >= 0 (0: the default)");
    if (memchr(options->nccl_library, '\0', sizeof(options->nccl_library)) == NULL ||
        memchr(options->cuda_library, '\0', sizeof(options->cuda_library)) == NULL)
        return refuse_option(error, MUSTER_FIELD_OPTION, MUSTER_PATH_BYTES - 1, 0,
                             "options->nccl_library or cuda_library is too long");
    return MUSTER_OK;
}

muster_status muster_device_plane_load(muster_device_plane *plane,
                                       const muster_job_options *options, muster_error *error)
{
    if (options->device_plane[0] == '\0')
        return MUSTER_OK;
    char reason[MUSTER_PLUGIN_REASON_BYTES] = "";
    void *library = muster_plugin_load(MUSTER_DEVICE_PLUGIN_NCCL, reason);
    if (library == NULL)
        return muster_error_set(
            error, MUSTER_ERR_LIBRARY, MUSTER_FIELD_OPTION, 0, 0,
            "the device plane cannot be loaded (%.100s); install the " MUSTER_DEVICE_PLUGIN_NCCL
            " of this Muster: it is built where NCCL's headers are found",
            reason);
    void *symbol = dlsym(library, MUSTER_DEVICE_PLUGIN_SYMBOL);
    const muster_device_table *table = NULL;
    if (symbol != NULL) {
        device_plugin_function plugin;
        memcpy(&plugin, &symbol, sizeof(plugin));
        table = plugin();
    }
    if (table == NULL || table->table_version != MUSTER_DEVICE_TABLE_VERSION) {
        uint32_t version = table == NULL ? 0 : table->table_version;
        dlclose(library);
        return muster_error_set(error, MUSTER_ERR_LIBRARY, MUSTER_FIELD_WIRE_VERSION,
                                MUSTER_DEVICE_TABLE_VERSION, version,
                                MUSTER_DEVICE_PLUGIN_NCCL
                                " has table version %u, expected %u; install the one that belongs "
                                "to this libmuster",
                                version, MUSTER_DEVICE_TABLE_VERSION);
    }
    plane->table = table;
    return MUSTER_OK;
}

bool muster_device_plane_waits_for_slot(const muster_job_options *options)
{
    return options->slot == MUSTER_SLOT_SPARE && options->device_slot_count > 0;
}

static int32_t device_of_slot(const muster_job_options *options, int32_t slot)
{
    int32_t index = slot - options->device_first_slot;
    if (options->device_slot_count == 0 || index < 0 || index >= options->device_slot_count)
        return options->device;
    return options->device_count > 0 ? index % options->device_count : index;
}

static int64_t abort_timeout_ns(const muster_job_options *options)
{
    return options->device_abort_timeout_ns > 0 ? options->device_abort_timeout_ns
                                                : ABORT_TIMEOUT_DEFAULT_NS;
}

static int64_t bracket_timeout_ns(const muster_job_options *options)
{
    return options->device_bracket_timeout_ns > 0 ? options->device_bracket_timeout_ns
                                                  : BRACKET_TIMEOUT_DEFAULT_NS;
}

int64_t muster_device_plane_abort_ns(const muster_job_options *options)
{
    return abort_timeout_ns(options) + bracket_timeout_ns(options);
}

static const char *library_or_null(const char *name)
{
    return name[0] != '\0' ? name : NULL;
}

muster_status muster_device_plane_open(muster_device_plane *plane,
                                       const muster_job_options *options, int32_t slot,
                                       muster_error *error)
{
    if (plane->table == NULL || plane->device != NULL)
        return MUSTER_OK;
    muster_device_options device_options = {
        .device = device_of_slot(options, slot),
        .abort_timeout_ns = abort_timeout_ns(options),
        .bracket_timeout_ns = bracket_timeout_ns(options),
        .exit_when_stuck = options->exit_when_device_stuck,
        .nccl_library = library_or_null(options->nccl_library),
        .cuda_library = library_or_null(options->cuda_library),
    };
    muster_device *device = NULL;
    muster_status status = plane->table->open(&device_options, &device, error);
    if (status != MUSTER_OK)
        return status;
    plane->facts.struct_bytes = sizeof(plane->facts);
    plane->table->facts(device, &plane->facts);
    pthread_mutex_lock(&plane->lock); /* the agent thread may be looking */
    plane->device = device;
    pthread_mutex_unlock(&plane->lock);
    return MUSTER_OK;
}

void muster_device_plane_enter(muster_device_plane *plane, uint64_t epoch)
{
    pthread_mutex_lock(&plane->lock);
    plane->epoch = epoch;
    if (plane->device != NULL)
        plane->table->revive(plane->device);
    pthread_mutex_unlock(&plane->lock);
}

void muster_device_plane_revoke(muster_device_plane *plane, bool keep_healthy)
{
    pthread_mutex_lock(&plane->lock);
    if (plane->device != NULL)
        plane->table->revoke(plane->device, keep_healthy);
    pthread_mutex_unlock(&plane->lock);
}

void muster_device_plane_revoke_epoch(muster_device_plane *plane, bool keep_healthy,
                                      bool (*is_over)(void *context, uint64_t epoch), void *context)
{
    pthread_mutex_lock(&plane->lock);
    if (plane->device != NULL && plane->epoch != 0 && is_over(context, plane->epoch))
        plane->table->revoke(plane->device, keep_healthy);
    pthread_mutex_unlock(&plane->lock);
}

muster_status muster_device_plane_abort(muster_device_plane *plane, bool keep_healthy,
                                        muster_error *error)
{
    if (plane->device == NULL)
        return MUSTER_OK;
    muster_device_plane_revoke(plane, keep_healthy);
    return muster_device_plane_note(plane, plane->table->await_revoked(plane->device, error));
}

muster_status muster_device_plane_note(muster_device_plane *plane, muster_status status)
{
    if (status == MUSTER_ERR_DEVICE_STUCK)
        atomic_store(&plane->stuck, true);
    return status;
}
