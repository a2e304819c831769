/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/postmortem/trace_reader.h"

#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <babeltrace2/babeltrace.h>

#include "base/error.h"
#include "tracing/postmortem/trace_fields.h"

/* One pass over one snapshot. Each stream gets a sink of its own: no order is needed here, the records
 * are sorted afterwards, and a merger would refuse what a sink can still read. */
typedef struct trace_pass {
    muster_records *records;
    size_t snapshot; /* index: the array may move */
    bool no_memory;
} trace_pass;

typedef struct trace_sink {
    trace_pass *pass;
    bt_message_iterator *iterator;
} trace_sink;

static void trace_take_event(trace_pass *pass, const bt_message *message)
{
    const bt_event *event = bt_message_event_borrow_event_const(message);
    muster_event_record record;
    memset(&record, 0, sizeof record);
    if (!muster_trace_fields_read(event, &record))
        return;
    const bt_clock_snapshot *clock = bt_message_event_borrow_default_clock_snapshot_const(message);
    /* LTTng counts nanoseconds of CLOCK_MONOTONIC: the same axis as the coordinator's notes. */
    record.time_ns = (int64_t)bt_clock_snapshot_get_value(clock);
    muster_event_record *added = muster_records_add_event(pass->records);
    if (added == NULL) {
        pass->no_memory = true;
        return;
    }
    *added = record;
    pass->records->snapshots[pass->snapshot].event_count++;
}

static void trace_take(trace_pass *pass, const bt_message *message)
{
    muster_snapshot_record *snapshot = &pass->records->snapshots[pass->snapshot];
    uint64_t count = 1; /* "some" where the trace does not count them */
    switch (bt_message_get_type(message)) {
    case BT_MESSAGE_TYPE_EVENT:
        trace_take_event(pass, message);
        break;
    case BT_MESSAGE_TYPE_DISCARDED_EVENTS:
        (void)bt_message_discarded_events_get_count(message, &count);
        snapshot->discarded_events += (int64_t)count;
        break;
    case BT_MESSAGE_TYPE_DISCARDED_PACKETS:
        (void)bt_message_discarded_packets_get_count(message, &count);
        snapshot->discarded_packets += (int64_t)count;
        break;
    default:
        break;
    }
}

static bt_graph_simple_sink_component_initialize_func_status
trace_sink_initialize(bt_message_iterator *iterator, void *context)
{
    trace_sink *sink = context;
    sink->iterator = iterator;
    return BT_GRAPH_SIMPLE_SINK_COMPONENT_INITIALIZE_FUNC_STATUS_OK;
}

static bt_graph_simple_sink_component_consume_func_status
trace_sink_consume(bt_message_iterator *iterator, void *context)
{
    trace_sink *sink = context;
    bt_message_array_const messages;
    uint64_t count;
    switch (bt_message_iterator_next(iterator, &messages, &count)) {
    case BT_MESSAGE_ITERATOR_NEXT_STATUS_OK:
        break;
    case BT_MESSAGE_ITERATOR_NEXT_STATUS_END:
        return BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_END;
    case BT_MESSAGE_ITERATOR_NEXT_STATUS_AGAIN:
        return BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_AGAIN;
    case BT_MESSAGE_ITERATOR_NEXT_STATUS_MEMORY_ERROR:
        return BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_MEMORY_ERROR;
    default:
        return BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_ERROR;
    }
    for (uint64_t i = 0; i < count; i++) {
        trace_take(sink->pass, messages[i]);
        bt_message_put_ref(messages[i]);
    }
    return sink->pass->no_memory ? BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_MEMORY_ERROR
                                 : BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_OK;
}

/* babeltrace2 keeps what went wrong in a last error of the thread: take it, keep the innermost cause. */
static void trace_damage(muster_snapshot_record *snapshot)
{
    const bt_error *error = bt_current_thread_take_error();
    snprintf(snapshot->damage, sizeof snapshot->damage, "it is damaged");
    if (error == NULL)
        return;
    if (bt_error_get_cause_count(error) > 0) {
        const char *message = bt_error_cause_get_message(bt_error_borrow_cause_by_index(error, 0));
        snprintf(snapshot->damage, sizeof snapshot->damage, "%.150s", message);
    }
    bt_error_release(error);
}

static bool trace_add_source(bt_graph *graph, const bt_component_class_source *source_class,
                             const char *path, const bt_component_source **source)
{
    bt_value *parameters = bt_value_map_create();
    bt_value *inputs = NULL;
    bool added = parameters != NULL &&
                 bt_value_map_insert_empty_array_entry(parameters, "inputs", &inputs) ==
                     BT_VALUE_MAP_INSERT_ENTRY_STATUS_OK &&
                 bt_value_array_append_string_element(inputs, path) ==
                     BT_VALUE_ARRAY_APPEND_ELEMENT_STATUS_OK &&
                 bt_graph_add_source_component(graph, source_class, "source", parameters,
                                               BT_LOGGING_LEVEL_NONE,
                                               source) == BT_GRAPH_ADD_COMPONENT_STATUS_OK;
    bt_value_put_ref(parameters);
    return added;
}

static bool trace_connect(bt_graph *graph, const bt_component_source *source, trace_sink *sinks,
                          uint64_t count, trace_pass *pass)
{
    for (uint64_t i = 0; i < count; i++) {
        char name[32];
        const bt_component_sink *component;
        snprintf(name, sizeof name, "sink-%llu", (unsigned long long)i);
        sinks[i].pass = pass;
        if (bt_graph_add_simple_sink_component(graph, name, trace_sink_initialize,
                                               trace_sink_consume, NULL, &sinks[i],
                                               &component) != BT_GRAPH_ADD_COMPONENT_STATUS_OK ||
            bt_graph_connect_ports(graph,
                                   bt_component_source_borrow_output_port_by_index_const(source, i),
                                   bt_component_sink_borrow_input_port_by_index_const(component, 0),
                                   NULL) != BT_GRAPH_CONNECT_PORTS_STATUS_OK)
            return false;
    }
    return true;
}

/* Runs one graph over the trace at path. False: could not be read to the end. */
static bool trace_run(const bt_component_class_source *source_class, const char *path,
                      trace_pass *pass)
{
    const bt_component_source *source = NULL;
    trace_sink *sinks = NULL;
    bt_graph *graph = bt_graph_create(0);
    bool whole = graph != NULL && trace_add_source(graph, source_class, path, &source);
    uint64_t count = whole ? bt_component_source_get_output_port_count(source) : 0;
    if (count > 0) {
        sinks = calloc(count, sizeof *sinks);
        whole = sinks != NULL && trace_connect(graph, source, sinks, count, pass);
        bt_graph_run_status status = BT_GRAPH_RUN_STATUS_AGAIN;
        while (whole && status == BT_GRAPH_RUN_STATUS_AGAIN)
            status = bt_graph_run(graph);
        whole = whole && status == BT_GRAPH_RUN_STATUS_OK;
    }
    bt_graph_put_ref(graph);
    free(sinks);
    return whole;
}

/* traces/slot2.incarnation0/death-... tells whose ring it is. */
static void trace_name(muster_snapshot_record *snapshot, const char *name)
{
    int32_t slot;
    uint32_t incarnation;
    snprintf(snapshot->name, sizeof snapshot->name, "%s", name);
    snapshot->slot = MUSTER_SNAPSHOT_SLOT_UNKNOWN;
    if (sscanf(name, "slot%d.incarnation%u/", &slot, &incarnation) == 2) {
        snapshot->slot = slot;
        snapshot->incarnation = incarnation;
    } else if (sscanf(name, "spare%u/", &incarnation) == 1) {
        snapshot->slot = MUSTER_SLOT_SPARE_WIRE;
        snapshot->incarnation = incarnation;
    } else if (sscanf(name, "coordinator.incarnation%u/", &incarnation) == 1) {
        snapshot->slot = MUSTER_SLOT_NONE;
        snapshot->incarnation = incarnation;
    }
}

/* A spare's folder was named before it was given a slot: its events know better. */
static void trace_name_spare(muster_records *records, size_t index, size_t first_event)
{
    muster_snapshot_record *snapshot = &records->snapshots[index];
    for (size_t i = first_event; i < records->event_count && snapshot->slot < MUSTER_SLOT_NONE;
         i++) {
        if (records->events[i].slot >= 0) {
            snapshot->slot = (int32_t)records->events[i].slot;
            snapshot->incarnation = (uint32_t)records->events[i].incarnation;
        }
    }
}

static muster_status trace_read_one(const bt_component_class_source *source_class, const char *path,
                                    const char *name, muster_records *records, muster_error *error)
{
    muster_snapshot_record *snapshot = muster_records_add_snapshot(records);
    if (snapshot == NULL)
        return muster_error_set_errno(error, ENOMEM, "the records of a snapshot");
    trace_name(snapshot, name);
    trace_pass pass = {.records = records, .snapshot = records->snapshot_count - 1};
    size_t first_event = records->event_count;
    if (!trace_run(source_class, path, &pass))
        trace_damage(&records->snapshots[pass.snapshot]);
    trace_name_spare(records, pass.snapshot, first_event);
    if (pass.no_memory)
        return muster_error_set_errno(error, ENOMEM, "the records of a snapshot");
    return MUSTER_OK;
}

/* A folder with a file `metadata` is a CTF trace. */
static muster_status trace_walk(const bt_component_class_source *source_class, char *root,
                                muster_records *records, muster_error *error)
{
    char *const roots[] = {root, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (walk == NULL)
        return muster_error_set_errno(error, errno, root);
    muster_status status = MUSTER_OK;
    FTSENT *entry;
    while (status == MUSTER_OK && (entry = fts_read(walk)) != NULL) {
        if (entry->fts_info != FTS_F || strcmp(entry->fts_name, "metadata") != 0)
            continue;
        char *path = strndup(entry->fts_path, entry->fts_pathlen - strlen("/metadata"));
        if (path == NULL) {
            status = muster_error_set_errno(error, ENOMEM, root);
            break;
        }
        status = trace_read_one(source_class, path, path + strlen(root) + 1, records, error);
        free(path);
    }
    fts_close(walk);
    return status;
}

muster_status muster_trace_reader_read(const char *directory, muster_records *records,
                                       muster_error *error)
{
    char root[PATH_MAX];
    if (snprintf(root, sizeof root, "%s/traces", directory) >= (int)sizeof root)
        return muster_error_set_errno(error, ENAMETOOLONG, directory);
    const bt_plugin *plugin = NULL;
    if (bt_plugin_find("ctf", BT_TRUE, BT_TRUE, BT_TRUE, BT_TRUE, BT_FALSE, &plugin) !=
        BT_PLUGIN_FIND_STATUS_OK)
        return muster_error_set(error, MUSTER_ERR_UNSUPPORTED, MUSTER_FIELD_NONE, 0, 0,
                                "babeltrace2 has no plugin `ctf`: install babeltrace2's plugins "
                                "to read traces");
    const bt_component_class_source *source_class =
        bt_plugin_borrow_source_component_class_by_name_const(plugin, "fs");
    muster_status status = trace_walk(source_class, root, records, error);
    bt_plugin_put_ref(plugin);
    if (status == MUSTER_OK)
        muster_error_set_ok(error);
    return status;
}
