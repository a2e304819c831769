/* SPDX-License-Identifier: Apache-2.0 */
/* What a core knows of its job at one moment, as plain values, for whoever shows it to people. Taken by
 * the thread that steps the core; afterwards it belongs to any. */
#ifndef MUSTER_RECOVERY_VIEW_H
#define MUSTER_RECOVERY_VIEW_H

#include "core/core.h"

/* X(name, text). */
#define MUSTER_VIEW_SEAT_LIST(X) \
    X(OPEN, "open")         /* nobody fills it, and nobody was asked to */ \
    X(STARTING, "starting") /* a process was asked for */ \
    X(FILLED, "filled")     /* by a process that lives as far as is known */ \
    X(LEFT, "left")         /* its process has said that it leaves */ \
    X(RETIRED, "retired")   /* never filled again */

typedef enum muster_view_seat {
#define MUSTER_VIEW_SEAT_ENUM(name, text) MUSTER_VIEW_SEAT_##name,
    MUSTER_VIEW_SEAT_LIST(MUSTER_VIEW_SEAT_ENUM)
#undef MUSTER_VIEW_SEAT_ENUM
        MUSTER_VIEW_SEAT_COUNT
} muster_view_seat;

const char *muster_view_seat_text(muster_view_seat seat);

typedef struct muster_view_slot {
    int32_t slot;
    muster_view_seat seat;
    int32_t rank;         /* in the current epoch; MUSTER_SLOT_NONE: in none */
    uint32_t incarnation; /* of its process, or of the one that was asked for */
    int32_t deaths_without_commit;
    /* The rest is of its process, where there is one. */
    int32_t process_id;
    uint64_t host;
    uint64_t epoch; /* as its last heartbeat said; 0: it has not entered one */
    bool from_spare;
    bool late;            /* it waits for a committed step, to come in (MUSTER_GROW_STEP) */
    bool expected;        /* known from the journal; it has yet to come back */
    bool connection_lost; /* a suspicion, not a verdict; as is the next */
    bool suspected;
    bool quiet;     /* while a rebuild waits for it */
    bool connected; /* while an epoch waits for it */
    int64_t silent_ns;
    int64_t heartbeat_ns; /* age of the last one; below zero: none came */
    int64_t waited_ns;    /* for how long its heartbeats have shown this wait */
    muster_activity activity;
} muster_view_slot;

/* A process that was lost since the last established epoch. */
typedef struct muster_view_death {
    muster_death death;
    int32_t process_id;
    bool abandoned;
    int64_t age_ns; /* of its verdict */
} muster_view_death;

typedef struct muster_view {
    uint64_t job;
    uint64_t term;
    const char *state; /* as muster_core_state_text */
    bool ended;
    muster_status ended_status;
    char ended_text[MUSTER_NOTE_TEXT_BYTES];
    uint64_t epoch; /* 0: none was agreed yet */
    int32_t member_count;
    int32_t slot_count;
    int32_t min_ranks;
    uint32_t on_loss;
    muster_deadlines deadlines;
    int32_t spare_count;
    int32_t launcher_count;
    bool grows; /* slots that were shrunk away can be filled again */
    int32_t replacements_used;
    int32_t max_replacements;
    bool has_committed;
    bool has_step; /* committed_* are known */
    uint64_t committed_epoch;
    uint64_t committed_step;
    bool adopting; /* no journal: nobody is judged before a majority has come */
    muster_view_slot *slots;
    muster_view_death *deaths;
    int32_t death_count;
} muster_view;

/* At now_ns, the time of the last step or later. False when memory ran out; *view is then empty. */
bool muster_view_take(const muster_core *core, int64_t now_ns, muster_view *view);
void muster_view_clean_up(muster_view *view);

#endif
