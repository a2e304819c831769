/* SPDX-License-Identifier: Apache-2.0 */
/* The jobs that a coordinator serves: one core each, known by the hash of the name. */
#ifndef MUSTER_COORDINATOR_JOBS_H
#define MUSTER_COORDINATOR_JOBS_H

#include <muster/job.h>

#include "coordinator/claims.h"
#include "core/core.h"
#include "status/history.h"

#define MUSTER_COORDINATOR_JOBS_MAX 1024
/* Of all jobs together. */
#define MUSTER_COORDINATOR_SLOTS_MAX 262144
/* A verdict and a rebuild of some hundred ranks; older ones give way. */
#define MUSTER_HOSTED_NOTES_MAX 1024

typedef struct muster_hosted_job {
    uint64_t job;
    char name[MUSTER_NAME_BYTES]; /* the hash in hexadecimal until a launcher says the name */
    muster_core *core;            /* owned */
    muster_claims claims;         /* where keys are asked for */
    int64_t deadline_ns;          /* of the core; INT64_MAX: none */
    /* Notes that no launcher was there to hear: for the next one that joins. After a restart the
     * ranks may be back first, and a verdict fall, before the launcher is. */
    muster_note *notes; /* a ring: the oldest first, at note_first */
    size_t note_first;
    size_t note_count;
    uint64_t *launchers; /* connections of its launchers, in no order */
    size_t launcher_count;
    muster_history *history; /* for whoever looks; NULL: nothing has happened, or no memory */
    size_t peer_count;       /* connections that have named it */
    bool taken_up;    /* older than this process: of the journal, or of those who came back */
    bool ended;       /* answers those who still ask, then goes */
    int64_t ended_ns; /* since when */
} muster_hosted_job;

typedef struct muster_jobs {
    muster_hosted_job **items;
    size_t count;
    size_t capacity;
} muster_jobs;

muster_hosted_job *muster_jobs_find(const muster_jobs *jobs, uint64_t job);
/* Takes core over in every case. NULL when memory ran out or there are too many. */
muster_hosted_job *muster_jobs_add(muster_jobs *jobs, uint64_t job, const char *name,
                                   muster_core *core);
void muster_jobs_remove(muster_jobs *jobs, uint64_t job);
/* The earliest deadline, INT64_MAX for none. */
int64_t muster_jobs_deadline(const muster_jobs *jobs);
/* Hears what happens from now on. Nothing where it does already. False when memory ran out. */
bool muster_hosted_job_add_launcher(muster_hosted_job *job, uint64_t connection);
void muster_hosted_job_remove_launcher(muster_hosted_job *job, uint64_t connection);
/* Keeps one for the next launcher; dropped where memory ran out. */
void muster_hosted_job_keep_note(muster_hosted_job *job, const muster_note *note);
const muster_note *muster_hosted_job_note(const muster_hosted_job *job, size_t i);
void muster_hosted_job_drop_notes(muster_hosted_job *job);
/* For its history. */
void muster_hosted_job_remember(muster_hosted_job *job, const muster_note *note);
void muster_jobs_clean_up(muster_jobs *jobs);

#endif
