/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/postmortem/trace_fields.h"

#include <string.h>

#define EVENT_PREFIX "muster:"

typedef struct trace_field {
    const char *name; /* in the payload of the event */
    size_t offset;    /* in the record */
} trace_field;

#define TRACE_FIELD(name, member) \
    { \
        name, offsetof(muster_event_record, member) \
    }

/* An event takes those of the fields that it has. */
static const trace_field trace_fields[] = {
    TRACE_FIELD("slot", slot),
    TRACE_FIELD("incarnation", incarnation),
    TRACE_FIELD("epoch", epoch),
    TRACE_FIELD("sequence", sequence),
    TRACE_FIELD("communicator", communicator),
    TRACE_FIELD("call", call),
    TRACE_FIELD("root", root),
    TRACE_FIELD("rank", rank),
    TRACE_FIELD("rank_count", rank_count),
    TRACE_FIELD("phase", phase),
    TRACE_FIELD("status", status),
    TRACE_FIELD("failing_rank", failing_rank),
    TRACE_FIELD("step", step),
    TRACE_FIELD("kind", note),
    TRACE_FIELD("about_epoch", about_epoch),
    TRACE_FIELD("about_slot", about_slot),
    TRACE_FIELD("about_incarnation", about_incarnation),
    TRACE_FIELD("evidence", evidence),
    TRACE_FIELD("value", value),
    TRACE_FIELD("sent_ns", sent_ns),
    TRACE_FIELD("received_ns", received_ns),
    TRACE_FIELD("answered_ns", answered_ns),
    TRACE_FIELD("back_ns", back_ns),
};

static bool field_integer(const bt_field *field, int64_t *value)
{
    bt_field_class_type type = bt_field_get_class_type(field);
    /* An enumeration is an integer with names. */
    if (bt_field_class_type_is(type, BT_FIELD_CLASS_TYPE_UNSIGNED_INTEGER))
        *value = (int64_t)bt_field_integer_unsigned_get_value(field);
    else if (bt_field_class_type_is(type, BT_FIELD_CLASS_TYPE_SIGNED_INTEGER))
        *value = bt_field_integer_signed_get_value(field);
    else
        return false;
    return true;
}

static bool kind_of(const bt_event *event, int64_t *kind)
{
    const char *name = bt_event_class_get_name(bt_event_borrow_class_const(event));
    if (name == NULL || strncmp(name, EVENT_PREFIX, strlen(EVENT_PREFIX)) != 0)
        return false;
    for (int candidate = 0; candidate < MUSTER_RECORD_KIND_COUNT; candidate++) {
        if (strcmp(name + strlen(EVENT_PREFIX),
                   muster_record_kind_text((muster_record_kind)candidate)) == 0) {
            *kind = candidate;
            return true;
        }
    }
    return false;
}

static int64_t cpu_of(const bt_event *event)
{
    int64_t cpu = 0;
    const bt_packet *packet = bt_event_borrow_packet_const(event);
    const bt_field *context = packet != NULL ? bt_packet_borrow_context_field_const(packet) : NULL;
    const bt_field *field =
        context != NULL ? bt_field_structure_borrow_member_field_by_name_const(context, "cpu_id")
                        : NULL;
    if (field != NULL)
        field_integer(field, &cpu);
    return cpu;
}

bool muster_trace_fields_read(const bt_event *event, muster_event_record *record)
{
    const bt_field *payload = bt_event_borrow_payload_field_const(event);
    int64_t kind;
    if (payload == NULL || !kind_of(event, &kind))
        return false;
    record->kind = kind;
    record->cpu = cpu_of(event);
    for (size_t i = 0; i < sizeof trace_fields / sizeof trace_fields[0]; i++) {
        const bt_field *field =
            bt_field_structure_borrow_member_field_by_name_const(payload, trace_fields[i].name);
        int64_t value;
        if (field != NULL && field_integer(field, &value))
            memcpy((char *)record + trace_fields[i].offset, &value, sizeof value);
    }
    return true;
}
