/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

muster_hosted_job *muster_jobs_find(const muster_jobs *jobs, uint64_t job)
{
    for (size_t i = 0; i < jobs->count; i++) {
        if (jobs->items[i]->job == job)
            return jobs->items[i];
    }
    return NULL;
}

static bool jobs_reserve(muster_jobs *jobs)
{
    if (jobs->count >= MUSTER_COORDINATOR_JOBS_MAX)
        return false;
    if (jobs->count < jobs->capacity)
        return true;
    size_t capacity = jobs->capacity == 0 ? 4 : jobs->capacity * 2;
    muster_hosted_job **items = realloc(jobs->items, capacity * sizeof *items);
    if (items == NULL)
        return false;
    jobs->items = items;
    jobs->capacity = capacity;
    return true;
}

muster_hosted_job *muster_jobs_add(muster_jobs *jobs, uint64_t job, const char *name,
                                   muster_core *core)
{
    muster_hosted_job *item = core != NULL ? calloc(1, sizeof *item) : NULL;
    if (item == NULL || !jobs_reserve(jobs)) {
        free(item);
        muster_core_free(core);
        return NULL;
    }
    item->job = job;
    item->core = core;
    item->deadline_ns = INT64_MAX;
    if (name != NULL && name[0] != '\0')
        snprintf(item->name, sizeof item->name, "%s", name);
    else
        snprintf(item->name, sizeof item->name, "%016llx", (unsigned long long)job);
    jobs->items[jobs->count++] = item;
    return item;
}

void muster_jobs_remove(muster_jobs *jobs, uint64_t job)
{
    for (size_t i = 0; i < jobs->count; i++) {
        if (jobs->items[i]->job != job)
            continue;
        muster_core_free(jobs->items[i]->core);
        muster_claims_clean_up(&jobs->items[i]->claims);
        muster_hosted_job_drop_notes(jobs->items[i]);
        free(jobs->items[i]->launchers);
        free(jobs->items[i]->history);
        free(jobs->items[i]);
        jobs->items[i] = jobs->items[--jobs->count];
        return;
    }
}

int64_t muster_jobs_deadline(const muster_jobs *jobs)
{
    int64_t earliest_ns = INT64_MAX;
    for (size_t i = 0; i < jobs->count; i++) {
        if (jobs->items[i]->deadline_ns < earliest_ns)
            earliest_ns = jobs->items[i]->deadline_ns;
    }
    return earliest_ns;
}

void muster_hosted_job_keep_note(muster_hosted_job *job, const muster_note *note)
{
    if (job->notes == NULL)
        job->notes = calloc(MUSTER_HOSTED_NOTES_MAX, sizeof *job->notes);
    if (job->notes == NULL)
        return;
    if (job->note_count == MUSTER_HOSTED_NOTES_MAX) {
        job->note_first = (job->note_first + 1) % MUSTER_HOSTED_NOTES_MAX;
        job->note_count--;
    }
    job->notes[(job->note_first + job->note_count++) % MUSTER_HOSTED_NOTES_MAX] = *note;
}

const muster_note *muster_hosted_job_note(const muster_hosted_job *job, size_t i)
{
    return &job->notes[(job->note_first + i) % MUSTER_HOSTED_NOTES_MAX];
}

void muster_hosted_job_remember(muster_hosted_job *job, const muster_note *note)
{
    if (job->history == NULL)
        job->history = calloc(1, sizeof *job->history);
    if (job->history != NULL)
        muster_history_note(job->history, note);
}

void muster_hosted_job_drop_notes(muster_hosted_job *job)
{
    free(job->notes);
    job->notes = NULL;
    job->note_first = 0;
    job->note_count = 0;
}

bool muster_hosted_job_add_launcher(muster_hosted_job *job, uint64_t connection)
{
    for (size_t i = 0; i < job->launcher_count; i++) {
        if (job->launchers[i] == connection)
            return true;
    }
    uint64_t *launchers =
        realloc(job->launchers, (job->launcher_count + 1) * sizeof *job->launchers);
    if (launchers == NULL)
        return false;
    job->launchers = launchers;
    job->launchers[job->launcher_count++] = connection;
    return true;
}

void muster_hosted_job_remove_launcher(muster_hosted_job *job, uint64_t connection)
{
    for (size_t i = 0; i < job->launcher_count; i++) {
        if (job->launchers[i] == connection) {
            job->launchers[i] = job->launchers[--job->launcher_count];
            return;
        }
    }
}

void muster_jobs_clean_up(muster_jobs *jobs)
{
    while (jobs->count > 0)
        muster_jobs_remove(jobs, jobs->items[0]->job);
    free(jobs->items);
    memset(jobs, 0, sizeof *jobs);
}
