/* SPDX-License-Identifier: Apache-2.0 */
/* Overviews on their way from the coordinator's thread, which makes them, to the thread that shows them.
 * One is made only when somebody asks, and not so often that it costs the first more than a small part
 * of its time; the second waits a second at most. */
#ifndef MUSTER_COORDINATOR_EDITIONS_H
#define MUSTER_COORDINATOR_EDITIONS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <muster/status.h>

#include "status/overview.h"

/* Whoever asks waits no longer. */
#define MUSTER_EDITIONS_WAIT_NS ((int64_t)1000000000)

typedef struct muster_editions {
    pthread_mutex_t lock;
    pthread_cond_t given;
    int wanted_fd;           /* readable when one is wanted */
    atomic_bool wanted;      /* changed under the lock, with the descriptor */
    muster_overview *newest; /* given, and not taken yet */
    int64_t given_ns;        /* when one, or the word that there is no memory, came; 0: never */
    int64_t next_ns;         /* before, none is asked for */
    bool ending;             /* nobody waits any more */
    int64_t making_ns;       /* of the making thread alone: since when it makes one */
    int64_t in_vain_ns; /* of the showing thread alone: when it last waited for nothing; 0: never */
} muster_editions;

muster_status muster_editions_init(muster_editions *editions, muster_error *error);
void muster_editions_clean_up(muster_editions *editions);

/* For the making thread. True when one is to be made now; clears the descriptor. */
bool muster_editions_wants(muster_editions *editions, int64_t now_ns);
/* Takes overview over; NULL: there was no memory for one. */
void muster_editions_give(muster_editions *editions, muster_overview *overview, int64_t now_ns);

/* For the showing thread. Asks for one, unless the newest is new enough, and waits. Returns the age of
 * what was given last; below zero: nothing ever was. */
int64_t muster_editions_await(muster_editions *editions);
/* What was given since, for the caller to free; NULL: nothing. */
muster_overview *muster_editions_take(muster_editions *editions);

/* Any thread: who waits now, or later, does not. */
void muster_editions_end(muster_editions *editions);

#endif
