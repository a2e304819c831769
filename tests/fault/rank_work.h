/* SPDX-License-Identifier: Apache-2.0 */
/* A rank of the campaign at work: what it holds, and the errors it can meet. */
#ifndef RANK_WORK_H
#define RANK_WORK_H

#include <signal.h>
#include <stdbool.h>

#include <muster/muster.h>

#include "rank_values.h"

/* How a rank of the campaign ends. */
enum rank_exit {
    RANK_EXIT_DONE = 0,
    RANK_EXIT_USAGE = 2,
    RANK_EXIT_WRONG = 20,      /* a byte was not what it must be */
    RANK_EXIT_UNEXPECTED = 21, /* a status that no rule allows here */
    RANK_EXIT_FENCED = 22,
    RANK_EXIT_GAVE_UP = 23,
    RANK_EXIT_NOT_JOINED = 24,
    RANK_EXIT_ALONE = 26,  /* no coordinator answered in the time of a rebuild */
    RANK_EXIT_STARVED = 25 /* it ran out of memory or descriptors, as was to be expected */
};

/* One SIGKILL that a rank has the kernel send to itself, so that it falls within a call. */
struct rank_death {
    int32_t slot; /* -1: a spare */
    uint32_t incarnation;
    int64_t step; /* -1: any */
    int64_t after_us;
    char where[48];
};

enum { RANK_DEATHS_MAX = 4 };

struct work {
    struct values values;
    uint64_t step_count;
    int64_t step_ms; /* a step takes about this long, computing between its calls */

    muster_job *job;
    muster_comm *world;
    int32_t rank;
    int32_t size;
    muster_error error;
    const char *where; /* the call at hand, for people */

    struct rank_death deaths[RANK_DEATHS_MAX];
    int32_t death_count;
    const char *folder; /* for notes to the campaign */
    bool
        may_starve; /* running out of memory or descriptors is expected: the rank ends, others go on */

    struct values_state expected; /* of the whole job, at this rank's step */
    struct values_state own;      /* what came over the wires: only owned cells are true */

    /* Big enough for everyone's rows of one step. */
    uint64_t *words, *back_words;
    uint8_t *bytes;
    uint64_t *root_words[2]; /* from the runtime, and from malloc */
    uint8_t *root_bytes[2];
    uint64_t *shard;
    int64_t shard_elements;

    muster_param *param;
    muster_params_scope *scope;
    muster_comm *split;
    muster_request *request;
};

/* Set by SIGUSR1: hang at the next step, without a call, for ever. */
extern volatile sig_atomic_t work_hang;

_Noreturn void work_wrong(const struct work *work, const char *what, uint64_t expected,
                          uint64_t came);

/* Says where the rank is, and arms the deaths that are to fall there. */
void work_at(struct work *work, const char *where);
/* "SLOT.INCARNATION:STEP:AFTER_US:WHERE". False: it is no such text, or one too many. */
bool work_death_add(struct work *work, const char *text);

bool work_owns(const struct work *work, int32_t cell);

/* One step, commit left out. */
muster_status work_step(struct work *work);

muster_status work_commit(struct work *work);

/* Takes up the restore point, or begins, and commits it. */
muster_status work_restore(struct work *work);

/* What an epoch that is gone left open. */
void work_drop(struct work *work);

/* Everyone's cells and the parameter on every rank, against what an undisturbed run has. */
muster_status work_verify_end(struct work *work);

#endif
