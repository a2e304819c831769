/* SPDX-License-Identifier: Apache-2.0 */
/* The overview in Prometheus' text form. README.md says what each metric means; names, once given, stay.
 * A family's samples stand together, so each family walks over all jobs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "status/overview.h"
#include "status/text.h"

#include <muster/version.h>

/* The label is not called job: that one is Prometheus' own. */
#define METRICS_NAME_BYTES (2 * MUSTER_OVERVIEW_NAME_BYTES + 20)

static void metrics_family(muster_text *text, const char *name, const char *type, const char *help)
{
    muster_text_add(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* As the value of a label: a backslash before quotes and itself. Where a name had to be cleaned, the job's
 * number makes up for what is not to be seen any more: Prometheus refuses all where two are the same. */
static const char *metrics_label(const muster_overview_job *job, char *label)
{
    char clean[MUSTER_OVERVIEW_NAME_BYTES];
    size_t used = 0;
    muster_text_clean(job->name, clean, sizeof clean);
    for (const char *at = clean; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            label[used++] = '\\';
        label[used++] = *at;
    }
    label[used] = '\0';
    if (strcmp(clean, job->name) != 0)
        snprintf(label + used, METRICS_NAME_BYTES - used, "#%016" PRIx64, job->view.job);
    return label;
}

static double metrics_seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

static int32_t metrics_seats(const muster_view *view, muster_view_seat seat)
{
    int32_t count = 0;
    for (int32_t i = 0; i < view->slot_count; i++)
        count += view->slots[i].seat == seat;
    return count;
}

static int32_t metrics_suspected(const muster_view *view)
{
    int32_t count = 0;
    for (int32_t i = 0; i < view->slot_count; i++)
        count += view->slots[i].suspected || view->slots[i].connection_lost;
    return count;
}

static int32_t metrics_waiting(const muster_view *view)
{
    int32_t count = 0;
    for (int32_t i = 0; i < view->slot_count; i++)
        count += view->slots[i].seat == MUSTER_VIEW_SEAT_FILLED && view->slots[i].activity.waiting;
    return count;
}

/* ---- the coordinator ---- */

static void metrics_coordinator(muster_text *text, const muster_overview *overview)
{
    metrics_family(text, "muster_build_info", "gauge", "Always 1; the version is its label.");
    muster_text_add(text, "muster_build_info{version=\"%d.%d.%d\"} 1\n", MUSTER_VERSION_MAJOR,
                    MUSTER_VERSION_MINOR, MUSTER_VERSION_PATCH);
    metrics_family(text, "muster_coordinator_term", "gauge",
                   "Grows with every start of a coordinator.");
    muster_text_add(text, "muster_coordinator_term %" PRIu64 "\n", overview->term);
    metrics_family(text, "muster_coordinator_up_seconds", "gauge", "Since its start.");
    muster_text_add(text, "muster_coordinator_up_seconds %.3f\n", metrics_seconds(overview->up_ns));
    metrics_family(text, "muster_coordinator_connections", "gauge",
                   "Connections of ranks and launchers.");
    muster_text_add(text, "muster_coordinator_connections %" PRIu64 "\n",
                    overview->connection_count);
    metrics_family(text, "muster_coordinator_messages_total", "counter",
                   "Messages of ranks and launchers that were taken in.");
    muster_text_add(text, "muster_coordinator_messages_total %" PRIu64 "\n",
                    overview->messages_heard);
    metrics_family(text, "muster_coordinator_refused_total", "counter",
                   "Connections and messages that were refused, by reason.");
    for (size_t i = 0; i < overview->refusal_count; i++)
        muster_text_add(text, "muster_coordinator_refused_total{reason=\"%s\"} %" PRIu64 "\n",
                        overview->refusals[i].name, overview->refusals[i].count);
    metrics_family(text, "muster_jobs", "gauge", "Jobs that the coordinator knows.");
    muster_text_add(text, "muster_jobs %zu\n", overview->job_count);
}

/* ---- jobs ---- */

#define METRICS_EACH_JOB(text, overview, format, ...) \
    for (size_t at = 0; at < (overview)->job_count; at++) { \
        const muster_overview_job *job = &(overview)->jobs[at]; \
        char name[METRICS_NAME_BYTES]; \
        muster_text_add(text, format, metrics_label(job, name), __VA_ARGS__); \
    }

static void metrics_states(muster_text *text, const muster_overview *overview)
{
    static const char *const states[] = {"forming", "connecting", "running", "revoked", "ended"};
    metrics_family(text, "muster_job_state", "gauge",
                   "1 for the state that the job is in, 0 for the others.");
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        METRICS_EACH_JOB(text, overview, "muster_job_state{muster_job=\"%s\",state=\"%s\"} %d\n",
                         states[i], strcmp(job->view.state, states[i]) == 0)
}

static void metrics_gauges(muster_text *text, const muster_overview *overview)
{
    metrics_family(text, "muster_job_epoch", "gauge", "The last epoch that was agreed.");
    METRICS_EACH_JOB(text, overview, "muster_job_epoch{muster_job=\"%s\"} %" PRIu64 "\n",
                     job->view.epoch)
    metrics_family(text, "muster_job_ranks", "gauge", "Ranks of that epoch.");
    METRICS_EACH_JOB(text, overview, "muster_job_ranks{muster_job=\"%s\"} %d\n",
                     (int)job->view.member_count)
    metrics_family(text, "muster_job_slots", "gauge", "Slots, by who fills them.");
    for (int seat = 0; seat < MUSTER_VIEW_SEAT_COUNT; seat++)
        METRICS_EACH_JOB(text, overview, "muster_job_slots{muster_job=\"%s\",seat=\"%s\"} %d\n",
                         muster_view_seat_text((muster_view_seat)seat),
                         (int)metrics_seats(&job->view, (muster_view_seat)seat))
    metrics_family(text, "muster_job_suspected", "gauge",
                   "Ranks that are silent or whose connection is lost: no verdict yet.");
    METRICS_EACH_JOB(text, overview, "muster_job_suspected{muster_job=\"%s\"} %d\n",
                     (int)metrics_suspected(&job->view))
    metrics_family(text, "muster_job_waiting", "gauge", "Ranks that wait in a call.");
    METRICS_EACH_JOB(text, overview, "muster_job_waiting{muster_job=\"%s\"} %d\n",
                     (int)metrics_waiting(&job->view))
    metrics_family(text, "muster_job_spares", "gauge", "Spares that wait for a slot.");
    METRICS_EACH_JOB(text, overview, "muster_job_spares{muster_job=\"%s\"} %d\n",
                     (int)job->view.spare_count)
    metrics_family(text, "muster_job_launchers", "gauge", "Launchers that are there.");
    METRICS_EACH_JOB(text, overview, "muster_job_launchers{muster_job=\"%s\"} %d\n",
                     (int)job->view.launcher_count)
    metrics_family(text, "muster_job_replacements", "gauge",
                   "Replacements used, across restarts of the coordinator.");
    METRICS_EACH_JOB(text, overview, "muster_job_replacements{muster_job=\"%s\"} %d\n",
                     (int)job->view.replacements_used)
    metrics_family(text, "muster_job_committed_step", "gauge",
                   "The last committed step; absent before the first.");
    for (size_t i = 0; i < overview->job_count; i++) {
        const muster_overview_job *job = &overview->jobs[i];
        char name[METRICS_NAME_BYTES];
        if (job->view.has_step)
            muster_text_add(text, "muster_job_committed_step{muster_job=\"%s\"} %" PRIu64 "\n",
                            metrics_label(job, name), job->view.committed_step);
    }
}

static void metrics_counters(muster_text *text, const muster_overview *overview)
{
    static const struct {
        const char *name;
        muster_evidence evidence;
    } reasons[] = {
        {"exited", MUSTER_EVIDENCE_EXITED},
        {"robust_futex", MUSTER_EVIDENCE_ROBUST_FUTEX},
        {"connection_lost", MUSTER_EVIDENCE_CONNECTION_LOST},
        {"silence", MUSTER_EVIDENCE_SILENCE},
        {"batch_deadline", MUSTER_EVIDENCE_BATCH_DEADLINE},
        {"left", MUSTER_EVIDENCE_LEFT},
        {"rebuild_deadline", MUSTER_EVIDENCE_REBUILD_DEADLINE},
        {"superseded", MUSTER_EVIDENCE_SUPERSEDED},
    };
    metrics_family(text, "muster_job_verdicts_total", "counter",
                   "Ranks that were declared lost, by reason, since the coordinator's start.");
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        METRICS_EACH_JOB(text, overview,
                         "muster_job_verdicts_total{muster_job=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                         reasons[i].name, job->history.verdicts_by_evidence[reasons[i].evidence])
    metrics_family(text, "muster_job_suspicions_total", "counter",
                   "Silences and lost connections that were noticed, verdict or not.");
    METRICS_EACH_JOB(text, overview, "muster_job_suspicions_total{muster_job=\"%s\"} %" PRIu64 "\n",
                     job->history.suspicion_count)
    metrics_family(text, "muster_job_epochs_established_total", "counter",
                   "Epochs in which all ranks were connected.");
    METRICS_EACH_JOB(text, overview,
                     "muster_job_epochs_established_total{muster_job=\"%s\"} %" PRIu64 "\n",
                     job->history.established_count)
}

static void metrics_recoveries(muster_text *text, const muster_overview *overview)
{
    metrics_family(text, "muster_job_recovery_seconds", "histogram",
                   "From the first verdict to the established epoch.");
    for (size_t i = 0; i < overview->job_count; i++) {
        const muster_history *history = &overview->jobs[i].history;
        char name[METRICS_NAME_BYTES];
        uint64_t sum = 0;
        metrics_label(&overview->jobs[i], name);
        for (int bucket = 0; bucket < MUSTER_HISTORY_BUCKETS; bucket++) {
            sum += history->recovered_buckets[bucket];
            muster_text_add(
                text,
                "muster_job_recovery_seconds_bucket{muster_job=\"%s\",le=\"%g\"} %" PRIu64 "\n",
                name, (double)muster_history_bucket_ms(bucket) / 1e3, sum);
        }
        muster_text_add(text,
                        "muster_job_recovery_seconds_bucket{muster_job=\"%s\",le=\"+Inf\"} %" PRIu64
                        "\n"
                        "muster_job_recovery_seconds_sum{muster_job=\"%s\"} %.6f\n"
                        "muster_job_recovery_seconds_count{muster_job=\"%s\"} %" PRIu64 "\n",
                        name, history->recovered_count, name,
                        metrics_seconds(history->recovered_sum_ns), name, history->recovered_count);
    }
}

/* ---- ranks ---- */

typedef struct metrics_rank_family {
    const char *name;
    const char *type;
    const char *help;
} metrics_rank_family;

enum {
    METRICS_RANK_UP,
    METRICS_RANK_INCARNATION,
    METRICS_RANK_SILENT,
    METRICS_RANK_WAITING,
    METRICS_RANK_CALLS,
    METRICS_RANK_STEP,
    METRICS_RANK_COUNT
};

static const metrics_rank_family rank_families[METRICS_RANK_COUNT] = {
    [METRICS_RANK_UP] = {"muster_rank_up", "gauge",
                         "1 while a process that is not suspected fills the slot; absent once the "
                         "slot is retired or has left."},
    [METRICS_RANK_INCARNATION] = {"muster_rank_incarnation", "gauge",
                                  "How many processes the slot has lost before this one."},
    [METRICS_RANK_SILENT] = {"muster_rank_silent_seconds", "gauge", "Since it was last heard."},
    [METRICS_RANK_WAITING] = {"muster_rank_waiting_seconds", "gauge",
                              "For how long it has waited in its call; 0: it does not wait."},
    [METRICS_RANK_CALLS] = {"muster_rank_calls_total", "counter",
                            "Calls that its process has completed."},
    [METRICS_RANK_STEP] = {"muster_rank_committed_step", "gauge",
                           "The last step that it saw committed; absent before the first."},
};

/* False: this slot has no such sample. */
static bool metrics_rank_value(const muster_view_slot *slot, int family, double *value)
{
    bool filled = slot->seat == MUSTER_VIEW_SEAT_FILLED;
    switch (family) {
    case METRICS_RANK_UP:
        *value = filled && !slot->suspected && !slot->connection_lost && !slot->expected;
        return slot->seat != MUSTER_VIEW_SEAT_RETIRED && slot->seat != MUSTER_VIEW_SEAT_LEFT;
    case METRICS_RANK_INCARNATION:
        *value = slot->incarnation;
        return filled;
    case METRICS_RANK_SILENT:
        *value = metrics_seconds(slot->silent_ns);
        return filled;
    case METRICS_RANK_WAITING:
        *value = metrics_seconds(slot->waited_ns);
        return filled;
    case METRICS_RANK_CALLS:
        *value = (double)slot->activity.completed_calls;
        return filled;
    case METRICS_RANK_STEP:
        *value = (double)slot->activity.committed_step;
        return filled && slot->activity.has_committed_step;
    default:
        return false;
    }
}

static void metrics_ranks(muster_text *text, const muster_overview *overview)
{
    for (int family = 0; family < METRICS_RANK_COUNT; family++) {
        const metrics_rank_family *its = &rank_families[family];
        metrics_family(text, its->name, its->type, its->help);
        for (size_t i = 0; i < overview->job_count; i++) {
            const muster_overview_job *job = &overview->jobs[i];
            char name[METRICS_NAME_BYTES];
            metrics_label(job, name);
            if (job->view.slot_count > MUSTER_OVERVIEW_METRICS_SLOTS_MAX)
                continue;
            for (int32_t slot = 0; slot < job->view.slot_count; slot++) {
                double value = 0;
                if (metrics_rank_value(&job->view.slots[slot], family, &value))
                    muster_text_add(text, "%s{muster_job=\"%s\",slot=\"%d\"} %.17g\n", its->name,
                                    name, (int)slot, value);
            }
        }
    }
}

char *muster_overview_metrics(const muster_overview *overview)
{
    muster_text text = {0};
    metrics_coordinator(&text, overview);
    metrics_states(&text, overview);
    metrics_gauges(&text, overview);
    metrics_counters(&text, overview);
    metrics_recoveries(&text, overview);
    metrics_ranks(&text, overview);
    return muster_text_take(&text);
}
