/* SPDX-License-Identifier: Apache-2.0 */
/* What the core is made of; for the files of this folder only. One file a noun:
 *
 *   core.c         one turn: an event in, the next deadline out
 *   state.c        the states and their legal moves
 *   actions.c      what the turn asks the caller to do
 *   members.c      slots and the processes that fill them
 *   join.c         who may fill a slot; spares
 *   rejoin.c       ranks that come back, to a coordinator that may know less than they do
 *   detector.c     silence, lost connections
 *   accusation.c   batches in which others wait past their deadline
 *   cut.c          members that live but cannot reach each other
 *   verdict.c      fencing, revoking
 *   rebuild.c      quiet, gone, agreed, connected
 *   grow.c         who fills a slot that was shrunk away
 *   replacement.c  who fills a lost slot
 *   awaited.c      for whom the job waits
 *   restore_point.c  which step a rebuild goes on from
 *   launchers.c    who can start a process, kill it and prove it gone
 *   ending.c       leaving, giving up
 *   save.c         what survives the coordinator
 *   view.c         what people are shown
 */
#ifndef MUSTER_RECOVERY_CORE_STATE_H
#define MUSTER_RECOVERY_CORE_STATE_H

#include "base/assert.h"
#include "core/core.h"
#include "core/difference.h"

typedef enum muster_core_state {
    MUSTER_CORE_FORMING,    /* no epoch yet: slots fill */
    MUSTER_CORE_CONNECTING, /* an epoch is agreed, its members connect */
    MUSTER_CORE_RUNNING,    /* established */
    MUSTER_CORE_REVOKED,    /* a rebuild is under way */
    MUSTER_CORE_ENDED,
    MUSTER_CORE_STATE_COUNT
} muster_core_state;

/* A process that has joined: in a slot, or as a spare. Times are the coordinator's. */
typedef struct muster_core_process {
    uint32_t incarnation;
    int32_t process_id;  /* as it says itself */
    int32_t launched_id; /* as its launcher says: another one behind a wrapper; 0: not known */
    uint64_t host;
    muster_blob blob;
    muster_connection connection;
    bool expected;   /* known from the journal only: it has yet to say what it knows */
    bool from_spare; /* started as a spare: its launcher need not be the slot's */

    int64_t heard_ns;
    bool suspected;
    bool connection_lost;
    int64_t connection_lost_ns;
    bool exited; /* its launcher saw it end; what it said before may be on the way */
    bool
        exited_doubtful; /* a process of another number: perhaps behind a wrapper, perhaps not this */
    bool exited_unheard; /* while we slept, or just after: its LEAVE may be lost */
    int32_t exited_status;
    int64_t exited_ns;

    muster_activity activity; /* of its last heartbeat */
    int64_t activity_ns;      /* when that came; 0: none came */
    uint64_t said_epoch;      /* as that said */
    int64_t wait_seen_ns;     /* since when its heartbeats show this one wait */

    bool left; /* said LEAVE */
    int64_t left_ns;
    bool connected;         /* in the current epoch */
    bool quiet;             /* in the revoked epoch */
    uint64_t members_epoch; /* whose members it was told last, said with its QUIET */
    muster_holding *holdings;
    int32_t holding_count;
    int64_t told_ns;   /* when it was last told where the job stands */
    int64_t hinted_ns; /* when it was last told for whom it waits, */
    uint64_t hint;     /* and a hash of the words */
} muster_core_process;

/* Incarnations that a process may claim; above: "assign one" (UINT32_MAX), or nonsense. Numbers given
 * here go on from what was claimed, and have as many again before they are nonsense themselves. */
#define MUSTER_CORE_INCARNATION_MAX ((uint32_t)(INT32_MAX / 2))
#define MUSTER_CORE_INCARNATION_SAVED_MAX ((uint32_t)INT32_MAX)

typedef enum muster_core_seat {
    MUSTER_CORE_SEAT_OPEN,   /* nobody: not joined yet, or lost and to be replaced */
    MUSTER_CORE_SEAT_FILLED, /* by a process that lives as far as we know */
    MUSTER_CORE_SEAT_RETIRED /* never filled again: shrunk away, or left */
} muster_core_seat;

typedef enum muster_core_replacement {
    MUSTER_CORE_REPLACEMENT_NONE,   /* not thought about */
    MUSTER_CORE_REPLACEMENT_WANTED, /* its process was lost */
    MUSTER_CORE_REPLACEMENT_STARTED /* asked for; start_deadline_ns runs */
} muster_core_replacement;

typedef struct muster_core_slot {
    int32_t slot;
    muster_core_seat seat;
    bool member;        /* the process that fills it is in the current epoch */
    bool late;          /* it fills a slot that was shrunk away, and waits for a committed step */
    bool left_for_good; /* its rank left: it is never filled again */
    muster_core_process process;
    uint32_t fence; /* incarnations below are fenced */

    muster_core_replacement replacement;
    uint32_t start_incarnation; /* asked of the launcher */
    int32_t start_process_id;   /* as its STARTED said; 0: not yet */
    int64_t start_deadline_ns;
    int32_t start_tries;

    bool started; /* a launcher said STARTED for started_incarnation */
    uint32_t started_incarnation;
    int32_t started_id;
    int32_t deaths_without_commit;
    bool cut_off;           /* of the side that goes; during one turn of cut.c */
    size_t launcher_number; /* of its launcher in the core's list, from 1; 0: none is there */
} muster_core_slot;

typedef struct muster_core_death {
    muster_death death; /* proven_gone: as known by now */
    uint64_t epoch;     /* in which it was lost */
    int32_t process_id;
    int32_t launched_id;
    bool from_spare;
    uint64_t host;
    int64_t verdict_ns;
    bool abandoned; /* not proven gone in time, or by nobody */
} muster_core_death;

typedef struct muster_core_launcher {
    muster_connection connection;
    int32_t process_id;
    uint64_t host;
    int32_t first_slot;
    int32_t slot_count;
    int32_t spare_count;
    int64_t heard_ns;
    bool connection_lost;
    int64_t connection_lost_ns;
} muster_core_launcher;

typedef struct muster_core_accusation {
    int32_t accuser;
    int32_t accused;
    uint32_t incarnation; /* of the accused */
    uint64_t communicator, sequence;
    uint32_t call;
    int64_t at_ns;
    int64_t counts_after_ns; /* heartbeats of the accused up to then say nothing (more) */
    bool idle_before;        /* the accused's last heartbeat before it did not wait, ... */
    uint64_t mark_before;    /* ... and this was its progress mark */
    int32_t idle_in_row; /* heartbeats since then, one after the other, in which it did not wait */
} muster_core_accusation;

/* A member of the current epoch cannot reach another one, it says. */
typedef struct muster_core_cut {
    int32_t accuser;
    int32_t accused;
    int64_t since_ns;
    int64_t said_ns; /* last */
} muster_core_cut;

/* Membership of a past epoch, as long as somebody may hold a state of it. */
typedef struct muster_core_past {
    uint64_t epoch;
    int32_t slot_count;
    int32_t *slots; /* ascending */
} muster_core_past;

#define MUSTER_CORE_PASTS_MAX 64

/* What ranks say of an epoch that this coordinator does not know (its journal is lost or old). */
typedef struct muster_core_adoption {
    uint64_t epoch; /* 0: none */
    int32_t member_count;
    muster_member *members;
    muster_restore restore;
    int32_t *restore_slots;
    bool revoked;
    muster_death *deaths; /* that its members have heard of */
    size_t death_count, death_capacity;
    int64_t since_ns;
} muster_core_adoption;

struct muster_core {
    uint64_t job;
    uint64_t term;
    uint64_t began_term; /* in which its first epoch was agreed; 0: not yet, or nobody knows */
    muster_policy policy;
    bool someone_left; /* in this epoch */
    bool others_left;  /* so many that too few remain: why the job is given up */
    bool policy_open;  /* the first launcher may still bring the policy */

    muster_core_state state;
    muster_core_slot *slots; /* policy.slot_count of them */

    uint64_t epoch;       /* the last one agreed; the highest number used, as far as we know */
    uint64_t epoch_floor; /* one that a launcher has heard of: later ones are above it, too */
    uint32_t kind;
    int32_t member_count;
    muster_member *members;       /* of epoch, by rank */
    muster_difference difference; /* from the epoch before; its base_epoch is 0: none is known */
    muster_restore restore;       /* as in the AGREED of epoch */
    int32_t *restore_slots;
    muster_core_past pasts[MUSTER_CORE_PASTS_MAX]; /* oldest first */
    int32_t past_count;

    muster_core_death *deaths; /* since the last established epoch */
    size_t death_count, death_capacity;
    muster_core_accusation *accusations;
    size_t accusation_count, accusation_capacity;
    muster_core_cut *cuts;
    size_t cut_count, cut_capacity;
    muster_core_process *spares;
    size_t spare_count, spare_capacity;
    muster_core_launcher *launchers;
    size_t launcher_count, launcher_capacity;
    muster_core_adoption adoption;

    int32_t replacements_used;
    bool has_run;       /* an epoch was established: ranks may have committed without us */
    bool has_committed; /* a step was ever committed, as far as we know */
    uint64_t committed_epoch, committed_step;
    bool crash_has_step; /* a commit above this step is progress; reset when the state was lost */
    uint64_t crash_step;

    char awaited[MUSTER_NOTE_TEXT_BYTES]; /* as ranks are told, for a while: see awaited.c */
    uint64_t awaited_words;               /* their hash; 0: nobody is waited for */
    int64_t awaited_ns;                   /* when that was looked at */
    muster_core_state awaited_state;
    int64_t forming_since_ns;
    int64_t revoked_since_ns;
    int64_t connecting_since_ns;
    muster_status ended_status;
    char ended_text[MUSTER_NOTE_TEXT_BYTES];
    char retired_text[MUSTER_NOTE_TEXT_BYTES]; /* why the last slot was not replaced */

    /* The turn. */
    bool started; /* the first turn is past */
    bool restored;
    bool met_before; /* somebody has seen an earlier term, and we have no journal of it */
    bool returned;   /* to a job that runs: from the journal, or from what its ranks said */
    int64_t returned_ns;
    int64_t now_ns, last_turn_ns, next_ns;
    int64_t anyone_ns; /* when anybody at all was heard */
    int64_t woke_ns; /* when it was last seen that this coordinator had slept for long; 0: never */
    void **retired;  /* what actions of the last step may still show */
    size_t retired_count;
    size_t retired_capacity;
    muster_core_actions *actions;
    bool changed;     /* look at everything (again) */
    int32_t missing;  /* at the last look: so many must come before the job can go on; 0: not so */
    int32_t staying;  /* members that have not left, since the last look; 0: look again */
    bool revoke_due;  /* tell the members */
    bool persist_due; /* something to save */
    bool persisted;   /* this turn has its PERSIST already */
};

/* state.c */
void muster_core_state_move(muster_core *core, muster_core_state to);

/* actions.c */
void *muster_core_memory(void *memory); /* asserts that there was some */
void muster_core_grow(void **items, size_t count, size_t *capacity, size_t item_bytes);
/* Frees memory that actions of this step may still show, when the next step begins. NULL is fine. */
void muster_core_retire(muster_core *core, void *memory);
void muster_core_retire_free(muster_core *core);
/* One of many that the job waits for has come. Nothing follows from it before the last one has, and a look
 * at everything costs as much as there are ranks: one for each of them would make it their square. */
void muster_core_one_came(muster_core *core);
/* Appends an action of the given kind. Valid until the next one. */
muster_core_action *muster_core_action_append(muster_core *core, muster_core_action_kind kind);
/* A message to fill, addressed to connection. Valid until the next action. */
muster_message *muster_core_send(muster_core *core, muster_connection connection, uint32_t type);
void muster_core_send_to_slot(muster_core *core, const muster_core_slot *slot, uint32_t type);
void muster_core_refuse(muster_core *core, muster_connection connection,
                        const muster_message *message, muster_status status, const char *format,
                        ...) __attribute__((format(printf, 5, 6)));
void muster_core_note(muster_core *core, uint32_t kind, int32_t slot, uint32_t incarnation,
                      uint32_t evidence, int64_t value, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
/* What was decided so far is durable before the actions that follow. */
void muster_core_persist(muster_core *core);
/* Wakes the core at_ns or earlier. */
void muster_core_deadline(muster_core *core, int64_t at_ns);
/* True when since + length has come; else wakes the core then. */
bool muster_core_passed(muster_core *core, int64_t since_ns, int64_t length_ns);

/* members.c */
bool muster_core_members_open(muster_core *core, int32_t slot_count); /* allocates the slots */
muster_core_slot *muster_core_members_slot(muster_core *core, int32_t slot); /* NULL: no such */
bool muster_core_members_live(const muster_core_slot *slot); /* filled, has not left */
int32_t muster_core_members_live_count(const muster_core *core);
int32_t muster_core_members_minimum(const muster_core *core);
bool muster_core_members_fenced(const muster_core_slot *slot, uint32_t incarnation);
bool muster_core_members_same_process(const muster_core_process *process,
                                      const muster_message *join);
void muster_core_members_fill(muster_core *core, muster_core_slot *slot,
                              const muster_core_process *process);
void muster_core_members_empty(muster_core_slot *slot); /* the seat becomes OPEN */
muster_core_slot *muster_core_members_by_connection(muster_core *core,
                                                    muster_connection connection);
void muster_core_process_clean_up(muster_core_process *process);
/* Tells a member (again) where the job stands. */
void muster_core_members_tell(muster_core *core, muster_core_slot *slot);
void muster_core_members_welcome(muster_core *core, muster_connection connection, int32_t slot,
                                 uint32_t incarnation);

/* join.c */
void muster_core_join(muster_core *core, muster_connection connection,
                      const muster_message *message);
muster_core_process *muster_core_spare_by_connection(muster_core *core,
                                                     muster_connection connection);
void muster_core_spare_remove(muster_core *core, muster_core_process *spare);

/* rejoin.c */
bool muster_core_rejoin(muster_core *core, muster_connection connection,
                        const muster_message *message);
void muster_core_adoption_turn(muster_core *core);
/* Somebody knows of this job's past, and we have no journal of it. */
void muster_core_met_before(muster_core *core);
/* A message of a higher term: true when it may be handled. */
bool muster_core_term_meet(muster_core *core, uint64_t term);

/* detector.c */
/* True when it was away: it may have missed what was said meanwhile. */
bool muster_core_detector_hear(muster_core *core, muster_core_slot *slot,
                               muster_connection connection);
/* A message of the job came. */
void muster_core_detector_anyone(muster_core *core);
bool muster_core_detector_launcher_silent(muster_core *core, const muster_core_launcher *launcher);
void muster_core_detector_lose(muster_core *core, muster_connection connection);
void muster_core_detector_pause(muster_core *core);
void muster_core_detector_turn(muster_core *core);

/* accusation.c */
void muster_core_accusation_add(muster_core *core, const muster_core_slot *accuser,
                                const muster_message *message);
void muster_core_accusation_turn(muster_core *core);
void muster_core_activity_update(muster_core *core, muster_core_slot *slot,
                                 const muster_activity *activity);

/* cut.c */
/* True when nobody has said so of the accused before, in this epoch. */
bool muster_core_cut_add(muster_core *core, const muster_core_slot *accuser,
                         const muster_core_slot *accused);
void muster_core_cut_turn(muster_core *core);

/* verdict.c */
void muster_core_verdict_give(muster_core *core, muster_core_slot *slot, muster_evidence evidence,
                              int32_t wait_status);
void muster_core_verdict_count(muster_core *core, muster_core_slot *slot); /* crash loop */
void muster_core_verdict_flush(muster_core *core);                         /* REVOKE to all */
void muster_core_verdict_revoke(muster_core *core);
void muster_core_verdict_message(muster_core *core, muster_connection connection,
                                 const muster_core_slot *slot);
void muster_core_verdict_gone(muster_core *core, muster_core_death *death, int32_t wait_status);
muster_core_death *muster_core_verdict_find(muster_core *core, int32_t slot, uint32_t incarnation);

/* rebuild.c */
void muster_core_rebuild_quiet(muster_core *core, muster_core_slot *slot,
                               const muster_message *message);
void muster_core_rebuild_connected(muster_core *core, muster_core_slot *slot,
                                   const muster_message *message);
void muster_core_rebuild_turn(muster_core *core); /* forming, revoked and connecting */
/* What has changed, to one that knows the membership of the epoch before; else all members. */
void muster_core_rebuild_agreed_message(muster_core *core, const muster_core_slot *slot);

/* replacement.c */
void muster_core_replacement_turn(muster_core *core, muster_core_slot *slot);
/* False: there is none. */
bool muster_core_replacement_spare_takes(muster_core *core, muster_core_slot *slot);
/* A new launcher of an open slot is asked to fill it, with an incarnation that nobody had. */
void muster_core_replacement_anew(muster_core *core, muster_core_slot *slot);
/* Somebody else takes the slot: what a launcher was asked to start there, and may start yet, must not
 * have the same incarnation. */
void muster_core_replacement_forgo(muster_core_slot *slot);
/* Forgoes the replacement, and the next process of the slot has an incarnation that none before it can have had. */
void muster_core_replacement_fence_former(const muster_core *core, muster_core_slot *slot);
void muster_core_replacement_died(muster_core *core, muster_core_slot *slot, uint32_t incarnation,
                                  int32_t wait_status);
void muster_core_replacement_retire(muster_core *core, muster_core_slot *slot, const char *format,
                                    ...) __attribute__((format(printf, 3, 4)));

/* grow.c */
/* True when a slot that was shrunk away may be filled again. */
bool muster_core_grow_open(const muster_core *core, const muster_core_slot *slot);
/* A step of the current epoch was committed: who waits is taken in. */
void muster_core_grow_at_step(muster_core *core, uint64_t epoch);
/* Who waited is lost, or left: as before. */
void muster_core_grow_undo(muster_core *core, muster_core_slot *slot);
/* A new launcher owns a slot that may be filled again: it is asked to, once. */
void muster_core_grow_launch(muster_core *core, muster_core_slot *slot);
/* True while what it was asked to start has not joined. */
bool muster_core_grow_launched(const muster_core *core, const muster_core_slot *slot);
/* What it started ended before it joined. */
void muster_core_grow_died(muster_core *core, muster_core_slot *slot, int32_t wait_status);

/* restore_point.c: fills core->restore and core->restore_slots from the survivors' holdings. */
void muster_core_restore_point_choose(muster_core *core);
void muster_core_restore_point_clear(muster_core *core);
void muster_core_past_add(muster_core *core); /* the current membership */
void muster_core_past_add_slots(muster_core *core, uint64_t epoch, const int32_t *slots,
                                int32_t slot_count);
void muster_core_committed(muster_core *core, muster_core_slot *slot, uint64_t epoch,
                           uint64_t step);
/* As a heartbeat tells it: the epoch is that which the rank is in. */
void muster_core_committed_progress(muster_core *core, uint64_t epoch, uint64_t step);

/* awaited.c: tells a rank that waits for others for whom, where that is news. */
void muster_core_awaited_tell(muster_core *core, muster_core_slot *slot);

/* launchers.c */
muster_core_launcher *muster_core_launcher_of(muster_core *core, int32_t slot);
/* A launcher's word about process_id is about that one. */
bool muster_core_launcher_means(int32_t process_id, int32_t own_id, int32_t launched_id);
/* The connection of the launcher that has the slot's process; 0: none is there. */
muster_connection muster_core_launcher_watching(muster_core *core, const muster_core_slot *slot);
bool muster_core_launcher_can_prove(muster_core *core, int32_t slot, bool from_spare,
                                    uint64_t host);
void muster_core_launcher_kill(muster_core *core, int32_t slot, uint32_t incarnation,
                               int32_t process_id, bool from_spare, uint64_t host);
void muster_core_launcher_start(muster_core *core, muster_core_slot *slot,
                                muster_core_launcher *launcher);
void muster_core_launcher_assigned(muster_core *core, const muster_core_slot *slot);
/* To the slot's launcher: it is in no epoch any more, though its process may still live. */
void muster_core_launcher_retired(muster_core *core, const muster_core_slot *slot);
void muster_core_launcher_message(muster_core *core, muster_connection connection,
                                  const muster_message *message);
/* A launcher of a job that has ended: it is told so, where it was away meanwhile. */
void muster_core_launcher_ended(muster_core *core, muster_connection connection,
                                const muster_message *message);
void muster_core_launcher_turn(muster_core *core);

/* ending.c */
void muster_core_end(muster_core *core, muster_status status);
void muster_core_ending_leave(muster_core *core, muster_connection connection,
                              muster_core_slot *slot);
/* A member that lives no more, and is no loss. */
void muster_core_ending_left(muster_core *core, muster_core_slot *slot);
/* Likewise, says its launcher, in an epoch that this coordinator has no journal of. */
void muster_core_ending_left_before(muster_core *core, muster_core_slot *slot, uint64_t host,
                                    bool from_spare, const muster_message *exited);
void muster_core_ending_turn(muster_core *core);
void muster_core_give_up(muster_core *core, muster_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void muster_core_calls_differ(muster_core *core, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void muster_core_ending_answer(muster_core *core, muster_connection connection,
                               const muster_message *message);

#endif
