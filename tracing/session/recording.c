/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/session/recording.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lttng/lttng.h>

#include "base/error.h"

#define CHANNEL_NAME "ring"

static muster_status recording_error(muster_error *error, const char *what, const char *name,
                                     int code)
{
    int positive = code < 0 ? -code : code;
    return muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_NONE, 0, positive,
                            "LTTng cannot %s %s: %s", what, name, lttng_strerror(-positive));
}

static struct lttng_domain recording_domain(void)
{
    struct lttng_domain domain;
    memset(&domain, 0, sizeof domain);
    domain.type = LTTNG_DOMAIN_UST;
    /* Not per process: those rings die with a killed process. */
    domain.buf_type = LTTNG_BUFFER_PER_UID;
    return domain;
}

static muster_status recording_enable_channel(struct lttng_handle *handle,
                                              const muster_recording_options *options,
                                              muster_error *error)
{
    struct lttng_domain domain = recording_domain();
    struct lttng_channel *channel = lttng_channel_create(&domain);
    if (channel == NULL)
        return muster_error_set_errno(error, ENOMEM, "a trace channel");
    snprintf(channel->name, sizeof channel->name, "%s", CHANNEL_NAME);
    channel->attr.overwrite = 1;
    channel->attr.subbuf_size = options->subbuffer_bytes;
    channel->attr.num_subbuf = options->subbuffer_count;
    channel->attr.switch_timer_interval = 0; /* a timer would wake an idle machine for nothing */
    channel->attr.read_timer_interval = 0;
    channel->attr.output = LTTNG_EVENT_MMAP;
    int code = lttng_enable_channel(handle, channel);
    lttng_channel_destroy(channel);
    if (code < 0)
        return recording_error(error, "make the rings of session", options->name, code);
    return MUSTER_OK;
}

/* Only that process: a ring that several processes write into is stalled for all of them by one that
 * is killed in the middle of an event. */
static muster_status recording_track(const muster_recording_options *options, muster_error *error)
{
    struct lttng_process_attr_tracker_handle *tracker = NULL;
    enum lttng_error_code code = lttng_session_get_tracker_handle(
        options->name, LTTNG_DOMAIN_UST, LTTNG_PROCESS_ATTR_VIRTUAL_PROCESS_ID, &tracker);
    if (code != LTTNG_OK)
        return recording_error(error, "track a process in session", options->name, (int)code);
    enum lttng_process_attr_tracker_handle_status status =
        lttng_process_attr_tracker_handle_set_tracking_policy(tracker,
                                                              LTTNG_TRACKING_POLICY_INCLUDE_SET);
    if (status == LTTNG_PROCESS_ATTR_TRACKER_HANDLE_STATUS_OK)
        status = lttng_process_attr_virtual_process_id_tracker_handle_add_pid(tracker,
                                                                              options->process_id);
    lttng_process_attr_tracker_handle_destroy(tracker);
    if (status != LTTNG_PROCESS_ATTR_TRACKER_HANDLE_STATUS_OK)
        return recording_error(error, "track a process in session", options->name, LTTNG_ERR_UNK);
    return MUSTER_OK;
}

static muster_status recording_enable_events(struct lttng_handle *handle,
                                             const muster_recording_options *options,
                                             muster_error *error)
{
    struct lttng_event_context context;
    memset(&context, 0, sizeof context);
    context.ctx = LTTNG_EVENT_CONTEXT_VPID;
    int code = lttng_add_context(handle, &context, NULL, CHANNEL_NAME);
    if (code >= 0) {
        struct lttng_event *event = lttng_event_create();
        if (event == NULL)
            return muster_error_set_errno(error, ENOMEM, "a trace event");
        snprintf(event->name, sizeof event->name, "muster:*");
        event->type = LTTNG_EVENT_TRACEPOINT;
        event->loglevel_type = LTTNG_EVENT_LOGLEVEL_ALL;
        event->loglevel = -1;
        code = lttng_enable_event_with_exclusions(handle, event, CHANNEL_NAME, NULL, 0, NULL);
        lttng_event_destroy(event);
    }
    if (code < 0)
        return recording_error(error, "enable the events of session", options->name, code);
    return MUSTER_OK;
}

muster_status muster_recording_create(const muster_recording_options *options, muster_error *error)
{
    int code = lttng_create_session_snapshot(options->name, NULL);
    if (code < 0)
        return recording_error(error, "create session", options->name, code);
    struct lttng_domain domain = recording_domain();
    struct lttng_handle *handle = lttng_create_handle(options->name, &domain);
    muster_status status = MUSTER_OK;
    if (handle == NULL)
        status = muster_error_set_errno(error, ENOMEM, "a trace session handle");
    if (status == MUSTER_OK)
        status = recording_enable_channel(handle, options, error);
    if (status == MUSTER_OK)
        status = recording_track(options, error);
    if (status == MUSTER_OK)
        status = recording_enable_events(handle, options, error);
    if (status == MUSTER_OK) {
        code = lttng_start_tracing(options->name);
        if (code < 0)
            status = recording_error(error, "start session", options->name, code);
    }
    if (handle != NULL)
        lttng_destroy_handle(handle);
    if (status != MUSTER_OK)
        lttng_destroy_session_no_wait(options->name);
    else
        muster_error_set_ok(error);
    return status;
}

muster_status muster_recording_snapshot(const char *name, const char *directory, const char *reason,
                                        muster_error *error)
{
    struct lttng_snapshot_output *output = lttng_snapshot_output_create();
    if (output == NULL)
        return muster_error_set_errno(error, ENOMEM, "a snapshot output");
    int code = lttng_snapshot_output_set_name(reason, output);
    if (code >= 0)
        code = lttng_snapshot_output_set_local_path(directory, output);
    if (code >= 0)
        code = lttng_snapshot_record(name, output, 1);
    lttng_snapshot_output_destroy(output);
    if (code < 0 && code != -LTTNG_ERR_SNAPSHOT_NODATA)
        return recording_error(error, "record a snapshot of session", name, code);
    return muster_error_set_ok(error);
}

muster_status muster_recording_destroy(const char *name, muster_error *error)
{
    int code = lttng_destroy_session_no_wait(name);
    if (code < 0 && code != -LTTNG_ERR_SESS_NOT_FOUND)
        return recording_error(error, "destroy session", name, code);
    return muster_error_set_ok(error);
}

int32_t muster_recording_list(const char *prefix, char (*names)[MUSTER_RECORDING_NAME_BYTES],
                              int32_t capacity, int32_t *others)
{
    struct lttng_session *sessions = NULL;
    if (others != NULL)
        *others = 0;
    int total = lttng_list_sessions(&sessions);
    if (total < 0)
        return total == -LTTNG_ERR_NO_SESSION ? 0 : -1;
    int32_t count = 0;
    for (int i = 0; i < total; i++) {
        if (strncmp(sessions[i].name, prefix, strlen(prefix)) != 0) {
            if (others != NULL)
                (*others)++;
        } else if (count < capacity && strlen(sessions[i].name) < MUSTER_RECORDING_NAME_BYTES) {
            memcpy(names[count], sessions[i].name, strlen(sessions[i].name) + 1);
            count++;
        }
    }
    free(sessions);
    return count;
}

bool muster_recording_daemon_alive(void)
{
    return lttng_session_daemon_alive() == 1;
}
