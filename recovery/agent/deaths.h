/* SPDX-License-Identifier: Apache-2.0 */
/* The deaths that this rank has heard of, each with the epoch that it ended. Grows with every death of
 * the job, each process once; the agent's mutex guards it. */
#ifndef MUSTER_RECOVERY_DEATHS_H
#define MUSTER_RECOVERY_DEATHS_H

#include "core/message.h"

typedef struct muster_deaths_entry {
    uint64_t epoch;
    muster_death death;
} muster_deaths_entry;

typedef struct muster_deaths {
    muster_deaths_entry *entries; /* by epoch, then slot */
    size_t count;
    size_t capacity;
} muster_deaths;

void muster_deaths_init(muster_deaths *deaths);
void muster_deaths_clean_up(muster_deaths *deaths);

/* A process that is known already keeps its epoch; what is known about its end is brought up to
 * date. False when memory ran out. */
bool muster_deaths_add(muster_deaths *deaths, uint64_t epoch, const muster_death *death);

/* Those of one epoch, by slot: writes at most capacity, returns the full count. */
int32_t muster_deaths_list(const muster_deaths *deaths, uint64_t epoch, muster_death *list,
                           int32_t capacity);

#endif
