/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers found, as plain values: events of the ranks' rings, notes of the coordinator, and
 * what is known to be missing. Owned by a muster_records; no file, no babeltrace2 in here. */
#ifndef MUSTER_TRACING_POSTMORTEM_RECORDS_H
#define MUSTER_TRACING_POSTMORTEM_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/status.h>

#include "core/message.h"

/* Events of the provider. X(name): the name is the event's own. */
#define MUSTER_RECORD_KIND_LIST(X) \
    X(batch_begin) \
    X(batch_op) \
    X(batch_submitted) \
    X(batch_complete) \
    X(batch_failed) \
    X(phase_begin) \
    X(phase_end) \
    X(params_begin) \
    X(params_end) \
    X(step_staged) \
    X(step_committed) \
    X(recovery) \
    X(clock_ping)

typedef enum muster_record_kind {
#define MUSTER_RECORD_KIND_ENUM(name) MUSTER_RECORD_KIND_##name,
    MUSTER_RECORD_KIND_LIST(MUSTER_RECORD_KIND_ENUM)
#undef MUSTER_RECORD_KIND_ENUM
        MUSTER_RECORD_KIND_COUNT
} muster_record_kind;

const char *muster_record_kind_text(muster_record_kind kind);

/* One event. Fields that its kind does not have are 0; every field is 64 bits wide, so that equal
 * events are equal bytes. */
typedef struct muster_event_record {
    int64_t time_ns; /* the traced host's CLOCK_MONOTONIC */
    int64_t kind;    /* muster_record_kind */
    int64_t cpu;
    int64_t slot;
    int64_t incarnation;
    int64_t epoch;
    int64_t sequence;
    int64_t communicator;
    int64_t call; /* muster_call */
    int64_t root;
    int64_t rank;
    int64_t rank_count;
    int64_t phase;
    int64_t status; /* muster_status */
    int64_t failing_rank;
    int64_t step;
    int64_t note; /* muster_note_kind of a recovery event, and what it is about: */
    int64_t about_epoch;
    int64_t about_slot;
    int64_t about_incarnation;
    int64_t evidence;
    int64_t value;
    int64_t
        sent_ns; /* of a clock ping: on the coordinator's clock, as back_ns; the others on the rank's */
    int64_t received_ns;
    int64_t answered_ns;
    int64_t back_ns;
} muster_event_record;

/* A snapshot that was found on disk. */
typedef struct muster_snapshot_record {
    char name[160]; /* below DIR/traces */
    int32_t slot;   /* from the folder's name; or MUSTER_SNAPSHOT_SLOT_UNKNOWN */
    uint32_t incarnation;
    int64_t event_count;
    int64_t discarded_events;
    int64_t discarded_packets;
    char damage[160]; /* why it could not be read to its end; empty: it could */
} muster_snapshot_record;

#define MUSTER_SNAPSHOT_SLOT_UNKNOWN (-3)

/* A process that the launcher started, from job.json. */
typedef struct muster_process_end {
    int32_t slot;
    uint32_t incarnation;
    int32_t process_id;
    int32_t signal;    /* that ended it; 0: none */
    int32_t exit_code; /* -1: it did not exit, or its end was not seen */
} muster_process_end;

typedef struct muster_records {
    muster_event_record *events;
    size_t event_count;
    size_t event_capacity;
    muster_note *notes; /* in the order of the file */
    size_t note_count;
    size_t note_capacity;
    muster_snapshot_record *snapshots;
    size_t snapshot_count;
    size_t snapshot_capacity;
    muster_process_end *processes;
    size_t process_count;
    size_t process_capacity;
    bool has_event_log;    /* events.jsonl was there */
    int64_t damaged_lines; /* of it */
    char job_name[64];     /* from job.json; empty: not known */
    char on_loss[16];
    int32_t slot_count; /* 0: not known */
    int64_t
        wall_offset_ns;  /* wall clock minus CLOCK_MONOTONIC of the first launcher; 0: not known */
    size_t wall_process; /* index of the first process that it started */
} muster_records;

void muster_records_init(muster_records *records);
void muster_records_clean_up(muster_records *records);

/* The added element, zeroed; NULL when memory ran out. Valid until the next one is added. */
muster_event_record *muster_records_add_event(muster_records *records);
muster_note *muster_records_add_note(muster_records *records);
muster_snapshot_record *muster_records_add_snapshot(muster_records *records);
muster_process_end *muster_records_add_process(muster_records *records);

/* The notes by time; what several launchers have heard stands there once. For notes of more than one
 * file, the first file's in its order where times are equal. False when memory ran out. */
bool muster_records_merge_notes(muster_records *records);

/* Sorts the events by slot, incarnation and time, and drops those that two snapshots of one ring have
 * in common. */
void muster_records_sort(muster_records *records);

#endif
