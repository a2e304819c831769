/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that reads the environment of a rank. The names are documented in <muster/job.h>. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/job.h>

#include "base/error.h"

void muster_job_options_init(muster_job_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_bytes = sizeof(*options);
    options->slot = -1;
    options->incarnation = MUSTER_INCARNATION_ASSIGN;
    options->device = -1;
}

static muster_status copy_text(const char *name, const char *text, char *out, size_t out_bytes,
                               muster_error *error)
{
    size_t length = strlen(text);
    if (length == 0 || length >= out_bytes)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION,
                                (int64_t)out_bytes - 1, (int64_t)length,
                                "%s must have 1 to %zu characters, it has %zu", name, out_bytes - 1,
                                length);
    memcpy(out, text, length + 1);
    return MUSTER_OK;
}

/* Empty is as absent: a launcher that uses no keys says so. */
static muster_status read_path(const char *name, char path[MUSTER_PATH_BYTES], muster_error *error)
{
    const char *text = getenv(name);
    if (text == NULL || text[0] == '\0')
        return MUSTER_OK;
    return copy_text(name, text, path, MUSTER_PATH_BYTES, error);
}

/* Sets *value from the first of names that is there; *found says whether one was. */
static muster_status read_number(const char *const *names, int64_t least, int64_t most,
                                 int64_t *value, bool *found, muster_error *error)
{
    *found = false;
    for (; *names != NULL; names++) {
        const char *text = getenv(*names);
        if (text == NULL)
            continue;
        char *end = NULL;
        errno = 0;
        long long number = strtoll(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || number < least || number > most)
            return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, least,
                                    number,
                                    "%s must be a whole number from %lld to %lld, it is \"%s\"",
                                    *names, (long long)least, (long long)most, text);
        *value = number;
        *found = true;
        return MUSTER_OK;
    }
    return MUSTER_OK;
}

static muster_status read_slot(muster_job_options *options, muster_error *error)
{
    static const char *const slot_names[] = {"MUSTER_SLOT", "RANK", "SLURM_PROCID",
                                             "JOB_COMPLETION_INDEX", NULL};
    static const char *const count_names[] = {"MUSTER_SLOT_COUNT", "WORLD_SIZE", "SLURM_NTASKS",
                                              NULL};
    int64_t value = 0;
    bool found = false;
    muster_status status = read_number(count_names, 1, INT32_MAX, &value, &found, error);
    if (status != MUSTER_OK)
        return status;
    if (!found)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "MUSTER_SLOT_COUNT (or WORLD_SIZE, SLURM_NTASKS) is not set; start "
                                "the rank with `muster run`, or set it to the number of ranks");
    options->slot_count = (int32_t)value;
    const char *slot = getenv("MUSTER_SLOT");
    if (slot != NULL && strcmp(slot, "spare") == 0) {
        options->slot = MUSTER_SLOT_SPARE;
        return MUSTER_OK;
    }
    status = read_number(slot_names, 0, options->slot_count - 1, &value, &found, error);
    if (status != MUSTER_OK)
        return status;
    if (!found)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_SLOT, 0, 0,
                                "MUSTER_SLOT (or RANK, SLURM_PROCID, JOB_COMPLETION_INDEX) is not "
                                "set; start the rank with `muster run`, or set it to 0 .. %d",
                                options->slot_count - 1);
    options->slot = (int32_t)value;
    return MUSTER_OK;
}

static muster_status read_optional(muster_job_options *options, muster_error *error)
{
    static const char *const incarnation_names[] = {"MUSTER_INCARNATION", NULL};
    static const char *const timeout_names[] = {"MUSTER_JOIN_TIMEOUT_MS", NULL};
    static const char *const thread_names[] = {"MUSTER_PROGRESS_THREAD", NULL};
    static const char *const trace_names[] = {"MUSTER_TRACE", NULL};
    int64_t value = 0;
    bool found = false;
    muster_status status = read_number(incarnation_names, 0, UINT32_MAX - 1, &value, &found, error);
    if (status == MUSTER_OK && found)
        options->incarnation = (uint32_t)value;
    if (status == MUSTER_OK)
        status = read_number(timeout_names, 1, INT64_MAX / 1000000, &value, &found, error);
    if (status == MUSTER_OK && found)
        options->join_timeout_ns = value * 1000000;
    if (status == MUSTER_OK)
        status = read_number(thread_names, 0, 1, &value, &found, error);
    if (status == MUSTER_OK && found)
        options->progress_thread = value != 0;
    if (status == MUSTER_OK)
        status = read_number(trace_names, 0, 1, &value, &found, error);
    if (status == MUSTER_OK && found)
        options->trace = value != 0;
    return status;
}

/* "A-B" or "A-B/N". */
static muster_status read_device_slots(muster_job_options *options, muster_error *error)
{
    const char *text = getenv("MUSTER_DEVICE_SLOTS");
    if (text == NULL || text[0] == '\0')
        return MUSTER_OK;
    int first = -1;
    int last = -1;
    int count = 0;
    int used = 0;
    int fields = sscanf(text, "%8d-%8d%n/%8d%n", &first, &last, &used, &count, &used);
    if (fields < 2 || text[used] != '\0' || first < 0 || last < first || (fields == 3 && count < 1))
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "MUSTER_DEVICE_SLOTS must be A-B, or A-B/N with N devices, it is "
                                "\"%.60s\"",
                                text);
    options->device_first_slot = first;
    options->device_slot_count = last - first + 1;
    options->device_count = count;
    return MUSTER_OK;
}

static muster_status read_device(muster_job_options *options, muster_error *error)
{
    static const char *const device_names[] = {"MUSTER_DEVICE", NULL};
    static const char *const exit_names[] = {"MUSTER_EXIT_WHEN_DEVICE_STUCK", NULL};
    static const char *const abort_names[] = {"MUSTER_DEVICE_ABORT_MS", NULL};
    static const char *const bracket_names[] = {"MUSTER_DEVICE_BRACKET_MS", NULL};
    int64_t value = 0;
    bool found = false;
    const char *plane = getenv("MUSTER_DEVICE_PLANE");
    muster_status status = MUSTER_OK;
    if (plane != NULL && plane[0] != '\0')
        status = copy_text("MUSTER_DEVICE_PLANE", plane, options->device_plane,
                           sizeof(options->device_plane), error);
    if (status == MUSTER_OK && options->device_plane[0] != '\0' &&
        strcmp(options->device_plane, "nccl") != 0)
        status =
            muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 0, 0,
                             "MUSTER_DEVICE_PLANE must be nccl, or empty for host memory only, "
                             "it is \"%s\"",
                             options->device_plane);
    if (status == MUSTER_OK)
        status = read_number(device_names, 0, INT32_MAX, &value, &found, error);
    if (status == MUSTER_OK && found)
        options->device = (int32_t)value;
    if (status == MUSTER_OK)
        status = read_device_slots(options, error);
    if (status == MUSTER_OK)
        status = read_number(exit_names, 0, 1, &value, &found, error);
    if (status == MUSTER_OK && found)
        options->exit_when_device_stuck = value != 0;
    if (status == MUSTER_OK)
        status = read_number(abort_names, 1, INT32_MAX, &value, &found, error);
    if (status == MUSTER_OK && found)
        options->device_abort_timeout_ns = value * 1000000;
    if (status == MUSTER_OK)
        status = read_number(bracket_names, 1, INT32_MAX, &value, &found, error);
    if (status == MUSTER_OK && found)
        options->device_bracket_timeout_ns = value * 1000000;
    if (status == MUSTER_OK)
        status = read_path("MUSTER_NCCL_LIBRARY", options->nccl_library, error);
    if (status == MUSTER_OK)
        status = read_path("MUSTER_CUDA_LIBRARY", options->cuda_library, error);
    return status;
}

/* Set but empty is as good as not set. */
static muster_status read_host(muster_job_options *options, muster_error *error)
{
    const char *address = getenv("MUSTER_HOST_ADDRESS");
    const char *id = getenv("MUSTER_HOST_ID");
    muster_status status = MUSTER_OK;
    if (address != NULL && address[0] != '\0')
        status = copy_text("MUSTER_HOST_ADDRESS", address, options->host_address,
                           sizeof(options->host_address), error);
    if (status == MUSTER_OK && id != NULL && id[0] != '\0')
        status = copy_text("MUSTER_HOST_ID", id, options->host_id, sizeof(options->host_id), error);
    return status;
}

muster_status muster_job_options_from_environment(muster_job_options *options, muster_error *error)
{
    if (options == NULL)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT, 0, 0,
                                "options is NULL; pass a struct to fill");
    muster_job_options_init(options);
    const char *coordinator = getenv("MUSTER_COORDINATOR");
    if (coordinator == NULL)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "MUSTER_COORDINATOR is not set; start the rank with `muster run`, "
                                "or set it to the coordinator's endpoint, as tcp://HOST:PORT");
    const char *job_name = getenv("MUSTER_JOB");
    muster_status status = copy_text("MUSTER_COORDINATOR", coordinator, options->coordinator,
                                     sizeof(options->coordinator), error);
    if (status == MUSTER_OK)
        status = copy_text("MUSTER_JOB", job_name == NULL ? "job" : job_name, options->job_name,
                           sizeof(options->job_name), error);
    if (status == MUSTER_OK)
        status = read_slot(options, error);
    if (status == MUSTER_OK)
        status = read_optional(options, error);
    if (status == MUSTER_OK)
        status = read_device(options, error);
    if (status == MUSTER_OK)
        status = read_host(options, error);
    if (status == MUSTER_OK)
        status = read_path("MUSTER_COORDINATOR_KEY", options->coordinator_key, error);
    if (status == MUSTER_OK)
        status = read_path("MUSTER_KEY_FILE", options->key_file, error);
    return status == MUSTER_OK ? muster_error_set_ok(error) : status;
}
