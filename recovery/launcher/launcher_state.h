/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher is made of; for the files of this folder only. One file a noun:
 *
 *   launcher.c         setting up, the loop, taking down
 *   rank.c             processes of ranks: started, heard, ended
 *   hearing.c          what the coordinator says, and what follows from it
 *   ending.c           when and how the job is over
 *   own_coordinator.c  the coordinator that was started for this job
 *   drill.c            a loss on purpose
 *   recording.c        flight recorder, job.json, events, the report
 *
 * One thread. The clock is read once per turn. */
#ifndef MUSTER_LAUNCHER_STATE_H
#define MUSTER_LAUNCHER_STATE_H

#include "launcher/child.h"
#include "launcher/control.h"
#include "launcher/output.h"
#include "launcher/prefix.h"
#include "launcher/report.h"
#include "launcher/run_folder.h"
#include "launcher/run_options.h"
#include "operator/event_log.h"
#include "tracing/session/session.h"

#define NS_PER_MS ((int64_t)1000000)

/* One process of a rank, from its start until nothing of it is left to do. */
typedef struct muster_rank {
    muster_child child;
    int32_t slot; /* MUSTER_SLOT_SPARE_WIRE: a spare that waits */
    bool spare;   /* began as one */
    uint32_t incarnation;
    int32_t recorded_slot; /* under which it was made known to the flight recorder */
    uint32_t recorded_incarnation;
    bool joined;       /* the coordinator noted its join */
    bool left;         /* and its leave */
    bool exit_handled; /* what follows from its exit has been done */
    bool told;         /* its exit is for the coordinator to judge */
    int64_t judge_ns;  /* an exit before any join: when to decide what it means; 0: not due */
    int64_t started_ns;
    uint64_t since_epoch; /* the last that was agreed when it was started, or given its slot */
    int64_t exited_ns;
    muster_prefix out;
    muster_prefix err;
} muster_rank;

/* What became of a slot of this launcher. */
typedef struct muster_launched_slot {
    bool lives;
    bool started;
    bool retired; /* in no epoch any more, says the coordinator */
    bool settled; /* nothing more is expected of it */
    bool failed;  /* settled, and not well */
    int exit_code;
    uint32_t incarnation;
} muster_launched_slot;

/* For job.json: every process there ever was. */
typedef struct muster_process_record {
    int32_t slot;
    uint32_t incarnation;
    bool spare; /* began as one */
    int32_t process_id;
    int64_t started_ns;
    int64_t ended_ns; /* 0: lives */
    int wait_status;
} muster_process_record;

typedef struct muster_own_coordinator {
    bool wanted;
    bool running;
    bool ready;
    muster_child child;
    muster_prefix err;
    char endpoint[MUSTER_RUN_FOLDER_BYTES + 32];
    char journal[MUSTER_RUN_FOLDER_BYTES + 32];
    char status[MUSTER_RUN_FOLDER_BYTES + 32]; /* where it shows its status */
    uint32_t starts;
    int64_t started_ns;
    int64_t start_again_ns; /* 0: not due */
    int quick_deaths;       /* in a row */
} muster_own_coordinator;

typedef struct muster_launcher {
    muster_run_options options;
    muster_output out;
    muster_output err;
    muster_run_folder folder;
    muster_own_coordinator coordinator;
    muster_control control;
    bool controlled; /* the control is open */
    bool began;      /* the first ranks were started */
    muster_report report;
    muster_event_log events;
    muster_event_log trace_events;
    bool events_failed; /* said once */
    bool job_failed;
    muster_session_set *sessions; /* NULL: untraced */
    bool process_namespace;
    pid_t last_process_id; /* of a child; the next one's number is sought after it */
    int signal_fd;
    int64_t now_ns;
    uint64_t welcome_term; /* of the coordinator that welcomed us last */
    uint64_t epoch;        /* the last that was agreed, by the notes */

    muster_rank **ranks;
    size_t rank_count;
    size_t rank_capacity;
    uint32_t spares_started;
    muster_launched_slot *slots; /* options.slot_count of them */
    muster_process_record *records;
    size_t record_count;
    size_t record_capacity;

    /* The end. */
    bool over;
    int exit_code;
    bool ending;       /* nothing is started any more */
    int ending_signal; /* of the user; 0: none */
    int64_t ask_ns;    /* when ranks that heard of the end themselves are asked to; 0: not due */
    int64_t kill_ns;   /* when those that are left are killed; 0: not set */
    int64_t kill_keepers_ns;
    bool job_over; /* the coordinator has said so: no slot of any launcher needs a spare */
    bool spares_wait_said;
    bool gave_up;
    bool calls_differ;    /* the ranks hear that the job is over, and why, and end by themselves */
    bool work_was_done;   /* it was given up because ranks had taken their leave */
    bool silence_said;    /* that the coordinator does not answer */
    int64_t undecided_ns; /* since when nothing lives and somebody's fate is open; 0: no */
    int drills_done;
} muster_launcher;

/* A line for people on stderr: "muster: ...". Dropped rather than waited for. */
void muster_launcher_say(muster_launcher *launcher, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int64_t muster_launcher_clock_ns(void);
/* The next child's number is sought after those of the last. */
muster_status muster_launcher_spawn(muster_launcher *launcher, const char *file,
                                    char *const *arguments, char *const *environment, bool redirect,
                                    muster_child *child, muster_error *error);

/* rank.c */
/* False: said, and told to the coordinator as a death. */
bool muster_rank_start(muster_launcher *launcher, int32_t slot, uint32_t incarnation);
/* NULL: none. */
muster_rank *muster_rank_find(muster_launcher *launcher, int32_t slot, uint32_t incarnation);
muster_rank *muster_rank_find_process(muster_launcher *launcher, int32_t process_id);
/* A spare takes a slot. */
void muster_rank_assign(muster_launcher *launcher, muster_rank *rank, int32_t slot,
                        uint32_t incarnation);
/* Takes in output, reports and exits of all. */
void muster_rank_turn(muster_launcher *launcher);
/* The earliest time at which a turn is due. */
int64_t muster_rank_deadline(const muster_launcher *launcher);
/* Tells a coordinator that may know nothing who lives and who died. */
void muster_rank_tell_all(muster_launcher *launcher);
muster_launched_slot *muster_rank_slot_of(muster_launcher *launcher, int32_t slot);
size_t muster_rank_living(const muster_launcher *launcher, bool spares_too);
void muster_rank_free_all(muster_launcher *launcher);

/* hearing.c */
void muster_hearing_turn(muster_launcher *launcher);

/* ending.c */
/* The job cannot succeed: ranks are asked to end, then killed. The first code stands. Where it was
 * given up, their agents tell them: they get a while to end by themselves. */
void muster_ending_fail(muster_launcher *launcher, int exit_code);
/* The coordinator gave the job up; others_left: because ranks had left, and too few were there to go on. */
void muster_ending_given_up(muster_launcher *launcher, bool others_left);
void muster_ending_signal(muster_launcher *launcher, int signal_number);
/* A rank ended before its join: what it means. */
void muster_ending_unjoined(muster_launcher *launcher, muster_rank *rank);
/* An epoch without the dead slots was agreed: they are not coming back. */
void muster_ending_agreed(muster_launcher *launcher);
/* This one is not. */
void muster_ending_retired(muster_launcher *launcher, int32_t slot);
void muster_ending_turn(muster_launcher *launcher);
int64_t muster_ending_deadline(const muster_launcher *launcher);

/* own_coordinator.c */
muster_status muster_own_coordinator_start(muster_launcher *launcher, muster_error *error);
void muster_own_coordinator_turn(muster_launcher *launcher);
void muster_own_coordinator_stop(muster_launcher *launcher);

/* drill.c */
void muster_drill_committed(muster_launcher *launcher, uint64_t step);

/* archive.c */
/* Says in one sentence when it cannot, and goes on without. */
void muster_archive_open(muster_launcher *launcher);
void muster_archive_begin(muster_launcher *launcher, muster_rank *rank);
void muster_archive_end(muster_launcher *launcher, const muster_rank *rank);
void muster_archive_begin_coordinator(muster_launcher *launcher);
void muster_archive_end_coordinator(muster_launcher *launcher);
void muster_archive_verdict(muster_launcher *launcher, const muster_note *note);
void muster_archive_note(muster_launcher *launcher, const muster_note *note);
void muster_archive_job(muster_launcher *launcher);
muster_process_record *muster_archive_record(muster_launcher *launcher, int32_t process_id);
void muster_archive_close(muster_launcher *launcher);

#endif
