/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of the control plane, as values. recovery/wire turns them into bytes and back;
 * recovery/core reads and makes them; agents and launchers too. Pure. */
#ifndef MUSTER_RECOVERY_MESSAGE_H
#define MUSTER_RECOVERY_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/status.h>

#include "core/deadlines.h"

#ifndef MUSTER_SLOTS_MAX /* tests/simulation/size.c builds the core for more */
#define MUSTER_SLOTS_MAX 16384
#endif
#define MUSTER_BLOB_BYTES 128
#define MUSTER_NOTE_TEXT_BYTES 200
#define MUSTER_SLOT_NONE (-1)
#define MUSTER_COMMUNICATOR_WORLD UINT64_C(1) /* of all ranks; the others have hashes */
#define MUSTER_SLOT_SPARE_WIRE (-2)

/* Evidence that a rank is lost; also the reason of a verdict. X(name, value, text). */
#define MUSTER_EVIDENCE_LIST(X) \
    X(NONE, 0, "none") \
    X(EXITED, 1, "its process exited")         /* pidfd of the launcher: proof */ \
    X(ROBUST_FUTEX, 2, "its process is dying") /* kernel, seen by a peer: proof of dying */ \
    X(CONNECTION_LOST, 3, "its connection was lost") \
    X(SILENCE, 4, "its process was silent") \
    X(BATCH_DEADLINE, 5, "it stayed out of a batch in which others waited") \
    X(LEFT, 6, "it left") \
    X(REBUILD_DEADLINE, 7, "it did not come to the rebuild") \
    X(LAUNCHER_LOST, 8, "its launcher was lost") \
    X(SUPERSEDED, 9, "a new process took its slot")

typedef enum muster_evidence {
#define MUSTER_EVIDENCE_ENUM(name, value, text) MUSTER_EVIDENCE_##name = (value),
    MUSTER_EVIDENCE_LIST(MUSTER_EVIDENCE_ENUM)
#undef MUSTER_EVIDENCE_ENUM
} muster_evidence;

const char *muster_evidence_text(muster_evidence evidence);

typedef struct muster_blob {
    uint32_t bytes;
    uint8_t data[MUSTER_BLOB_BYTES];
} muster_blob;

typedef struct muster_member {
    int32_t slot;
    uint32_t incarnation;
    int32_t process_id;
    uint64_t host; /* hash of the host's boot id */
    muster_blob blob;
} muster_member;

typedef struct muster_death {
    int32_t slot;
    uint32_t incarnation;
    uint32_t evidence;   /* muster_evidence: the reason of the verdict */
    int32_t wait_status; /* as wait(2) gave it, where a launcher saw it; else -1 */
    bool proven_gone;    /* false in a verdict; in an AGREED: it was abandoned */
} muster_death;

/* A step state that a rank holds: its own, or as a mirror of another slot's. */
typedef struct muster_holding {
    int32_t slot;
    uint64_t epoch; /* in which it was staged */
    uint64_t step;
    bool mirror;
    bool committed; /* this rank saw the commit */
} muster_holding;

/* What a rank's working thread does: from its heartbeat. */
typedef struct muster_activity {
    uint64_t progress_mark; /* grows with every call and every muster_progress */
    bool waiting;           /* inside a blocking call or wait */
    uint64_t communicator;  /* where waiting */
    uint64_t sequence;
    uint32_t call;
    uint64_t waiting_since_ns; /* sender's CLOCK_MONOTONIC */
    uint64_t committed_step;   /* last one this rank saw */
    bool has_committed_step;
    uint64_t completed_calls; /* since the process began; the last of them: */
    uint64_t last_communicator;
    uint64_t last_sequence;
    uint32_t last_call;
} muster_activity;

typedef struct muster_restore {
    bool has_step;
    bool state_lost;
    uint64_t step;
    uint64_t epoch;
    int32_t slot_count; /* number of slots of that epoch, listed in the AGREED's restore_slots */
} muster_restore;

/* What happened in a recovery, for people, traces and reports. X(name, value, text). */
#define MUSTER_NOTE_LIST(X) \
    X(NONE, 0, "none") \
    X(JOINED, 1, "joined") \
    X(SUSPECTED, 2, "suspected") \
    X(EVIDENCE, 3, "evidence") \
    X(VERDICT, 4, "verdict") \
    X(RELEASED, 5, "released") /* value: ns at which the call in flight returned, 0: none was */ \
    X(QUIET, 6, "quiet") \
    X(GONE, 7, "gone") \
    X(ABANDONED, 8, "abandoned") \
    X(STARTING, 9, "starting a replacement") \
    X(AGREED, 10, "agreed") /* with a slot: that one is in no epoch any more */ \
    X(CONNECTED, 11, "connected") \
    X(ESTABLISHED, 12, "established") \
    X(RESUMED, 13, "resumed") /* value: ns at which rebuild or join returned on the rank */ \
    X(FIRST_BATCH, 14, "first batch") /* value: ns at which the rank's first batch was complete */ \
    X(COMMITTED, 15, "committed")     /* value: step */ \
    X(LEFT, 16, "left") \
    X(GAVE_UP, 17, "gave up") /* value: status; MUSTER_ERR_LEFT: all but a lost rank had left */ \
    X(CALLS_DIFFER, 18, "every rank waits, but in different calls") \
    X(REFUSED, 19, "refused") \
    X(TERM, 20, "term") \
    X(REVOKED, 21, "revoked")             /* a rank's own view, in its trace only */ \
    X(REBUILD_BEGIN, 22, "rebuild begin") /* likewise */

typedef enum muster_note_kind {
#define MUSTER_NOTE_ENUM(name, value, text) MUSTER_NOTE_##name = (value),
    MUSTER_NOTE_LIST(MUSTER_NOTE_ENUM)
#undef MUSTER_NOTE_ENUM
} muster_note_kind;

const char *muster_note_text(muster_note_kind kind);

typedef struct muster_note {
    uint32_t kind;
    uint64_t time_ns; /* coordinator's CLOCK_MONOTONIC */
    uint64_t epoch;
    int32_t slot; /* MUSTER_SLOT_NONE where none is meant */
    uint32_t incarnation;
    uint32_t evidence;
    int64_t value;
    char text[MUSTER_NOTE_TEXT_BYTES]; /* a sentence for people; may be empty */
} muster_note;

typedef enum muster_on_loss {
    MUSTER_ON_LOSS_REPLACE = 1,
    MUSTER_ON_LOSS_SHRINK = 2
} muster_on_loss;

/* The rules of a job; the first launcher or the coordinator's own options set them. */
typedef struct muster_policy {
    int32_t slot_count;
    uint32_t on_loss;  /* muster_on_loss */
    int32_t min_ranks; /* give up below; 0: slot_count for replace, 1 for shrink */
    int32_t
        max_replacements; /* of the whole job; then shrink where min_ranks allows, else give up */
    int32_t crash_loop_deaths; /* deaths of one slot with no new committed step between: give up */
    bool grow; /* a slot that was shrunk away may be filled again, at a committed step */
    muster_deadlines deadlines;
} muster_policy;

typedef enum muster_message_type {
    /* agent to coordinator */
    MUSTER_MESSAGE_JOIN = 1,
    MUSTER_MESSAGE_HEARTBEAT = 2,
    MUSTER_MESSAGE_EVIDENCE = 3,
    MUSTER_MESSAGE_QUIET = 4,
    MUSTER_MESSAGE_CONNECTED = 5,
    MUSTER_MESSAGE_RESUMED = 6,
    MUSTER_MESSAGE_COMMITTED = 7,
    MUSTER_MESSAGE_LEAVE = 8,
    MUSTER_MESSAGE_PONG = 9,
    /* launcher to coordinator */
    MUSTER_MESSAGE_LAUNCHER_JOIN = 32,
    MUSTER_MESSAGE_LAUNCHER_HEARTBEAT = 33,
    MUSTER_MESSAGE_STARTED = 34,
    MUSTER_MESSAGE_EXITED = 35,
    MUSTER_MESSAGE_LAUNCHER_LEAVE = 36,
    /* coordinator to agent */
    MUSTER_MESSAGE_WELCOME = 64,
    MUSTER_MESSAGE_REFUSED = 65,
    MUSTER_MESSAGE_REVOKE = 66,
    MUSTER_MESSAGE_AGREED = 67,
    MUSTER_MESSAGE_ESTABLISHED = 68,
    MUSTER_MESSAGE_GAVE_UP = 69,
    MUSTER_MESSAGE_CALLS_DIFFER = 70,
    MUSTER_MESSAGE_PING = 71,
    MUSTER_MESSAGE_GOODBYE = 72, /* a leave was heard */
    MUSTER_MESSAGE_REJOIN = 73,  /* a restarted coordinator does not know you: JOIN again */
    /* coordinator to launcher */
    MUSTER_MESSAGE_LAUNCHER_WELCOME = 96,
    MUSTER_MESSAGE_START = 97,
    MUSTER_MESSAGE_KILL = 98,
    MUSTER_MESSAGE_ASSIGNED = 99, /* a spare was given a slot */
    MUSTER_MESSAGE_NOTE = 100
} muster_message_type;

/* Header fields travel with every message. */
typedef struct muster_message {
    uint32_t type;
    uint64_t job; /* hash of the job's name */
    uint64_t term;
    uint64_t epoch;
    int32_t slot; /* sender or receiver rank's; MUSTER_SLOT_NONE for launchers */
    uint32_t incarnation;
    union {
        struct {
            uint32_t library_version;
            int32_t slot_count;
            int32_t process_id;
            uint64_t host;
            muster_blob blob;
            /* A JOIN again to a restarted coordinator: what this rank knows. epoch in the header is
             * the epoch it is in, 0 for a new process; term in the header the last one it saw. */
            bool rejoin;
            bool revoked;         /* it knows its epoch to be revoked */
            uint64_t epoch_term;  /* the term in which its epoch was agreed; 0: it is in none */
            int32_t member_count; /* members of its epoch, where it rejoins */
            muster_member *members;
            muster_restore restore; /* as in its epoch's AGREED: where the step states are from */
            int32_t *restore_slots;
            int32_t death_count; /* that this rank has heard of in its epoch */
            muster_death *deaths;
        } join;
        struct {
            muster_activity activity;
        } heartbeat;
        struct {
            uint32_t evidence;
            int32_t accused_slot;
            uint32_t accused_incarnation;
            uint64_t communicator; /* BATCH_DEADLINE */
            uint64_t sequence;
            uint32_t call;
        } evidence;
        struct {
            uint64_t released_ns;   /* CLOCK_MONOTONIC; 0: no call was in flight */
            uint64_t members_epoch; /* the last one whose members this rank was told; 0: none */
            muster_blob blob;
            int32_t holding_count;
            muster_holding *holdings;
        } quiet; /* epoch in the header: the revoked one */
        struct {
            uint64_t returned_ns;    /* 0: unchanged since the last */
            uint64_t first_batch_ns; /* 0: not yet */
        } resumed;
        struct {
            uint64_t step;
        } committed;
        struct {
            uint64_t ping_id;
            uint64_t sent_ns, received_ns, answered_ns;
        } ping; /* PING and PONG */
        struct {
            char job_name[64];
            int32_t process_id;
            uint64_t host;
            int32_t first_slot;
            int32_t slot_count; /* slots of this launcher */
            int32_t spare_count;
            muster_policy policy;
        } launcher_join;
        struct {
            int32_t process_id; /* STARTED, EXITED, ASSIGNED, START, KILL */
            int32_t wait_status;
            uint64_t time_ns; /* CLOCK_MONOTONIC of the launcher */
            bool member;      /* EXITED: it was in an epoch, as far as the launcher has heard */
        } process;
        struct {
            muster_policy policy; /* deadlines and all */
            bool begun;           /* a launcher was there before: start only what is asked for */
        } welcome; /* WELCOME, LAUNCHER_WELCOME; slot and incarnation in the header */
        struct {
            uint32_t status; /* muster_status */
            char text[MUSTER_NOTE_TEXT_BYTES];
        } refused; /* REFUSED, GAVE_UP */
        struct {
            int32_t death_count;
            muster_death *deaths;
        } revoke; /* epoch in the header: the revoked one */
        struct {
            uint32_t kind; /* muster_rebuild_kind; 0 for the first epoch */
            /* 0: members are all of them. Else those that are not as in that epoch; the others are, but for
             * the slots in without (core/difference.h). */
            uint64_t base_epoch;
            int32_t member_count;
            muster_member *members; /* by rank */
            int32_t without_count;
            int32_t *without;
            uint64_t members_hash; /* of all, where base_epoch is not 0 */
            int32_t death_count;
            muster_death *deaths; /* since the last established epoch */
            muster_restore restore;
            int32_t *restore_slots; /* restore.slot_count of them, ascending */
            bool abandon_memory;    /* a lost process is not proven gone */
        } agreed;                   /* epoch in the header: the new one */
        muster_note note;
    } u;
} muster_message;

/* Frees the arrays inside; the struct is the caller's. */
void muster_message_clean_up(muster_message *message);

/* A deep copy. False when memory ran out (*copy is then empty). */
bool muster_message_copy(muster_message *copy, const muster_message *message);

const char *muster_message_type_text(uint32_t type);

#endif
