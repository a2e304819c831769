/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/publish.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const muster_overview_refusal publish_refusals[] = {
#define PUBLISH_REFUSAL(name, text) {#name, text, 0},
    MUSTER_COUNTER_LIST(PUBLISH_REFUSAL)
#undef PUBLISH_REFUSAL
};
#define PUBLISH_REFUSAL_COUNT (sizeof publish_refusals / sizeof publish_refusals[0])

static void publish_refused(const muster_coordinator *coordinator, muster_overview *overview)
{
    size_t at = 0;
    memcpy(overview->refusals, publish_refusals, sizeof publish_refusals);
#define PUBLISH_COUNT(name, text) \
    overview->refusals[at++].count = atomic_load(&coordinator->counters.name);
    MUSTER_COUNTER_LIST(PUBLISH_COUNT)
#undef PUBLISH_COUNT
}

static bool publish_jobs(const muster_coordinator *coordinator, muster_overview *overview)
{
    for (size_t i = 0; i < overview->job_count; i++) {
        const muster_hosted_job *job = coordinator->jobs.items[i];
        muster_overview_job *copy = &overview->jobs[i];
        snprintf(copy->name, sizeof copy->name, "%s", job->name);
        if (!muster_view_take(job->core, overview->now_ns, &copy->view))
            return false;
        if (job->history != NULL)
            copy->history = *job->history;
    }
    return true;
}

static muster_overview *publish_overview(const muster_coordinator *coordinator, int64_t now_ns)
{
    muster_overview *overview = muster_overview_new(coordinator->jobs.count, PUBLISH_REFUSAL_COUNT);
    struct timespec wall;
    if (overview == NULL)
        return NULL;
    clock_gettime(CLOCK_REALTIME, &wall);
    overview->now_ns = now_ns;
    overview->wall_ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
    overview->up_ns = now_ns - coordinator->started_ns;
    overview->term = coordinator->term;
    snprintf(overview->endpoint, sizeof overview->endpoint, "%s", coordinator->endpoint);
    overview->has_journal = coordinator->journal.path != NULL;
    overview->asks_for_keys = muster_gate_asks_for_keys(coordinator->gate);
    overview->connection_count = muster_peers_count(coordinator->peers);
    overview->messages_heard = coordinator->messages_heard;
    publish_refused(coordinator, overview);
    if (publish_jobs(coordinator, overview))
        return overview;
    muster_overview_free(overview);
    return NULL;
}

void muster_publish_turn(muster_coordinator *coordinator)
{
    const int64_t now_ns = muster_serving_clock_ns();
    if (coordinator->http != NULL && muster_http_wants(coordinator->http, now_ns))
        muster_http_give(coordinator->http, publish_overview(coordinator, now_ns));
}
