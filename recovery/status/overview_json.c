/* SPDX-License-Identifier: Apache-2.0 */
/* The overview as JSON: what /status gives, the page reads, and `muster status --json` prints. Fields
 * are only ever added. Numbers that no script should count with (hashes) are text. */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "collective/record.h"
#include "status/overview.h"
#include "status/text.h"

#include <muster/version.h>

/* Becomes NULL, and frees what it had, as soon as memory runs out; so only the end needs a look. */
typedef struct json_builder {
    bool failed;
} json_builder;

static json_object *json_begin(json_builder *builder)
{
    json_object *object = builder->failed ? NULL : json_object_new_object();
    builder->failed = builder->failed || object == NULL;
    return object;
}

static json_object *json_begin_list(json_builder *builder)
{
    json_object *list = builder->failed ? NULL : json_object_new_array();
    builder->failed = builder->failed || list == NULL;
    return list;
}

/* Takes value over. */
static void json_put(json_builder *builder, json_object *object, const char *name,
                     json_object *value)
{
    if (!builder->failed && value != NULL && json_object_object_add(object, name, value) == 0)
        return;
    builder->failed = true;
    json_object_put(value);
}

static void json_append(json_builder *builder, json_object *list, json_object *value)
{
    if (!builder->failed && value != NULL && json_object_array_add(list, value) == 0)
        return;
    builder->failed = true;
    json_object_put(value);
}

static void json_put_number(json_builder *builder, json_object *object, const char *name,
                            uint64_t number)
{
    if (!builder->failed)
        json_put(builder, object, name, json_object_new_uint64(number));
}

static void json_put_int(json_builder *builder, json_object *object, const char *name,
                         int64_t number)
{
    if (!builder->failed)
        json_put(builder, object, name, json_object_new_int64(number));
}

static void json_put_bool(json_builder *builder, json_object *object, const char *name, bool yes)
{
    if (!builder->failed)
        json_put(builder, object, name, json_object_new_boolean(yes));
}

static void json_put_text(json_builder *builder, json_object *object, const char *name,
                          const char *text)
{
    char clean[MUSTER_TEXT_CLEAN_BYTES];
    if (!builder->failed)
        json_put(builder, object, name,
                 json_object_new_string(muster_text_clean(text, clean, sizeof clean)));
}

/* The value null, which is NULL to json-c and no failure. */
static void json_put_null(json_builder *builder, json_object *object, const char *name)
{
    if (!builder->failed && json_object_object_add(object, name, NULL) != 0)
        builder->failed = true;
}

static void json_put_ms(json_builder *builder, json_object *object, const char *name, int64_t ns)
{
    char digits[40];
    snprintf(digits, sizeof digits, "%.3f", (double)ns / 1e6);
    if (!builder->failed)
        json_put(builder, object, name, json_object_new_double_s((double)ns / 1e6, digits));
}

static void json_put_hex(json_builder *builder, json_object *object, const char *name,
                         uint64_t number)
{
    char digits[20];
    snprintf(digits, sizeof digits, "%016" PRIx64, number);
    json_put_text(builder, object, name, digits);
}

static void json_put_slots(json_builder *builder, json_object *object, const char *name,
                           const int32_t *slots, int32_t count)
{
    json_object *list = json_begin_list(builder);
    for (int32_t i = 0; i < count && !builder->failed; i++)
        json_append(builder, list, json_object_new_int(slots[i]));
    json_put(builder, object, name, list);
}

/* ---- a slot ---- */

static void json_put_call(json_builder *builder, json_object *object, uint32_t call,
                          uint64_t communicator, uint64_t sequence)
{
    char text[24];
    json_put_text(builder, object, "call", muster_call_text((muster_call)call));
    json_put_text(builder, object, "communicator",
                  muster_overview_communicator_text(communicator, text, sizeof text));
    json_put_number(builder, object, "sequence", sequence);
}

static void json_put_activity(json_builder *builder, json_object *object,
                              const muster_view_slot *slot)
{
    const muster_activity *activity = &slot->activity;
    if (activity->completed_calls > 0) {
        json_object *last = json_begin(builder);
        json_put_call(builder, last, activity->last_call, activity->last_communicator,
                      activity->last_sequence);
        json_put_number(builder, last, "calls", activity->completed_calls);
        json_put(builder, object, "last", last);
    } else {
        json_put_null(builder, object, "last");
    }
    if (activity->waiting) {
        json_object *wait = json_begin(builder);
        json_put_call(builder, wait, activity->call, activity->communicator, activity->sequence);
        json_put_ms(builder, wait, "for_ms", slot->waited_ns);
        json_put(builder, object, "waits", wait);
    } else {
        json_put_null(builder, object, "waits");
    }
    if (activity->has_committed_step)
        json_put_number(builder, object, "step", activity->committed_step);
    else
        json_put_null(builder, object, "step");
}

static void json_put_process(json_builder *builder, json_object *object,
                             const muster_view_slot *slot)
{
    json_put_int(builder, object, "process", slot->process_id);
    json_put_hex(builder, object, "host", slot->host);
    json_put_number(builder, object, "epoch", slot->epoch);
    json_put_bool(builder, object, "spare", slot->from_spare);
    json_put_bool(builder, object, "late", slot->late);
    json_put_bool(builder, object, "expected", slot->expected);
    json_put_bool(builder, object, "suspected", slot->suspected);
    json_put_bool(builder, object, "connection_lost", slot->connection_lost);
    json_put_bool(builder, object, "quiet", slot->quiet);
    json_put_bool(builder, object, "connected", slot->connected);
    json_put_ms(builder, object, "silent_ms", slot->silent_ns);
    if (slot->heartbeat_ns >= 0)
        json_put_ms(builder, object, "heartbeat_ms", slot->heartbeat_ns);
    else
        json_put_null(builder, object, "heartbeat_ms");
    json_put_activity(builder, object, slot);
}

static json_object *json_slot(json_builder *builder, const muster_view_slot *slot)
{
    json_object *object = json_begin(builder);
    json_put_int(builder, object, "slot", slot->slot);
    json_put_text(builder, object, "seat", muster_view_seat_text(slot->seat));
    if (slot->rank != MUSTER_SLOT_NONE)
        json_put_int(builder, object, "rank", slot->rank);
    else
        json_put_null(builder, object, "rank");
    json_put_number(builder, object, "incarnation", slot->incarnation);
    json_put_int(builder, object, "deaths_without_commit", slot->deaths_without_commit);
    if (slot->seat == MUSTER_VIEW_SEAT_FILLED || slot->seat == MUSTER_VIEW_SEAT_LEFT)
        json_put_process(builder, object, slot);
    return object;
}

/* ---- a job ---- */

static void json_put_waits(json_builder *builder, json_object *object, const muster_view *view)
{
    muster_overview_wait waits[MUSTER_OVERVIEW_WAITS_MAX];
    int count = muster_overview_waits(view, waits);
    json_object *list = json_begin_list(builder);
    builder->failed = builder->failed || count < 0;
    for (int i = 0; i < count; i++) {
        json_object *wait = json_begin(builder);
        json_put_call(builder, wait, waits[i].call, waits[i].communicator, waits[i].sequence);
        json_put_ms(builder, wait, "for_ms", waits[i].longest_ns);
        json_put_slots(builder, wait, "waiting", waits[i].waiting, waits[i].waiting_count);
        json_put_slots(builder, wait, "awaited", waits[i].awaited, waits[i].awaited_count);
        json_append(builder, list, wait);
    }
    muster_overview_waits_clean_up(waits, count);
    json_put(builder, object, "waits", list);
}

static void json_put_pending(json_builder *builder, json_object *object, const muster_view *view)
{
    static const struct {
        muster_overview_pending what;
        const char *text;
    } kinds[] = {
#define JSON_PENDING(name, text) {MUSTER_OVERVIEW_PENDING_##name, text},
        MUSTER_OVERVIEW_PENDING_LIST(JSON_PENDING)
#undef JSON_PENDING
    };
    json_object *list = json_begin_list(builder);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        json_object *slots = json_begin_list(builder);
        for (int32_t i = 0; i < view->slot_count && !builder->failed; i++) {
            if (muster_overview_is_pending(view, i, kinds[k].what))
                json_append(builder, slots, json_object_new_int(i));
        }
        if (!builder->failed && json_object_array_length(slots) > 0) {
            json_object *pending = json_begin(builder);
            json_put(builder, pending, "slots", slots);
            json_put_text(builder, pending, "what", kinds[k].text);
            json_append(builder, list, pending);
        } else {
            json_object_put(slots);
        }
    }
    json_put(builder, object, "pending", list);
}

static json_object *json_note(json_builder *builder, const muster_overview *overview,
                              const muster_note *note)
{
    json_object *object = json_begin(builder);
    const int64_t age_ns = overview->now_ns - (int64_t)note->time_ns;
    json_put_text(builder, object, "kind", muster_note_text((muster_note_kind)note->kind));
    json_put_ms(builder, object, "age_ms", age_ns);
    json_put_int(builder, object, "time_ms", overview->wall_ms - age_ns / 1000000);
    json_put_number(builder, object, "epoch", note->epoch);
    if (note->slot >= 0) {
        json_put_int(builder, object, "slot", note->slot);
        json_put_number(builder, object, "incarnation", note->incarnation);
    }
    if (note->evidence != MUSTER_EVIDENCE_NONE)
        json_put_text(builder, object, "reason",
                      muster_evidence_text((muster_evidence)note->evidence));
    json_put_text(builder, object, "text", note->text);
    return object;
}

static json_object *json_recovery(json_builder *builder, const muster_overview *overview,
                                  const muster_history_recovery *recovery)
{
    json_object *object = json_begin(builder);
    const int32_t named = recovery->lost_count < MUSTER_HISTORY_LOST_SLOTS
                              ? recovery->lost_count
                              : MUSTER_HISTORY_LOST_SLOTS;
    json_put_number(builder, object, "lost_epoch", recovery->lost_epoch);
    json_put_number(builder, object, "new_epoch", recovery->new_epoch);
    json_put_int(builder, object, "lost", recovery->lost_count);
    json_put_slots(builder, object, "slots", recovery->lost_slots, named);
    json_put_int(builder, object, "ranks", recovery->member_count);
    json_put_ms(builder, object, "age_ms", overview->now_ns - recovery->verdict_ns);
    if (recovery->agreed_ns > 0)
        json_put_ms(builder, object, "agree_ms", recovery->agreed_ns - recovery->verdict_ns);
    if (recovery->established_ns > 0) {
        json_put_ms(builder, object, "connect_ms", recovery->established_ns - recovery->agreed_ns);
        json_put_ms(builder, object, "total_ms", recovery->established_ns - recovery->verdict_ns);
    }
    if (recovery->first_batch_ns > 0)
        json_put_ms(builder, object, "first_batch_ms",
                    recovery->first_batch_ns - recovery->verdict_ns);
    json_put_text(builder, object, "state",
                  recovery->gave_up              ? "given up"
                  : recovery->established_ns > 0 ? "done"
                                                 : "under way");
    return object;
}

static void json_put_history(json_builder *builder, json_object *object,
                             const muster_overview *overview, const muster_history *history)
{
    json_object *verdicts = json_begin_list(builder);
    json_object *news = json_begin_list(builder);
    json_object *recoveries = json_begin_list(builder);
    const muster_note *note = NULL;
    for (uint64_t i = 0; (note = muster_history_verdict(history, i)) != NULL; i++)
        json_append(builder, verdicts, json_note(builder, overview, note));
    for (uint64_t i = 0; (note = muster_history_news(history, i)) != NULL; i++)
        json_append(builder, news, json_note(builder, overview, note));
    const muster_history_recovery *recovery = NULL;
    for (uint64_t i = 0; (recovery = muster_history_recovery_at(history, i)) != NULL; i++)
        json_append(builder, recoveries, json_recovery(builder, overview, recovery));
    json_put(builder, object, "verdicts", verdicts);
    json_put(builder, object, "news", news);
    json_put(builder, object, "recoveries", recoveries);
    json_object *counts = json_begin(builder);
    json_put_number(builder, counts, "verdicts", history->verdict_count);
    json_put_number(builder, counts, "suspicions", history->suspicion_count);
    json_put_number(builder, counts, "recoveries", history->recovered_count);
    json_put_number(builder, counts, "epochs", history->established_count);
    json_put(builder, object, "counts", counts);
}

static void json_put_rules(json_builder *builder, json_object *object, const muster_view *view)
{
    json_put_text(builder, object, "on_loss",
                  view->on_loss == MUSTER_ON_LOSS_SHRINK ? "shrink" : "replace");
    json_put_bool(builder, object, "grows", view->grows);
    json_put_int(builder, object, "min_ranks", view->min_ranks);
    json_put_int(builder, object, "replacements", view->replacements_used);
    json_put_int(builder, object, "max_replacements", view->max_replacements);
    json_object *deadlines = json_begin(builder);
#define JSON_DEADLINE(name, default_ms, sentence) \
    json_put_int(builder, deadlines, #name, view->deadlines.name##_ns / 1000000);
    MUSTER_DEADLINE_LIST(JSON_DEADLINE)
#undef JSON_DEADLINE
    json_put(builder, object, "deadlines_ms", deadlines);
}

static json_object *json_job(json_builder *builder, const muster_overview *overview,
                             const muster_overview_job *job)
{
    const muster_view *view = &job->view;
    json_object *object = json_begin(builder);
    json_put_text(builder, object, "name", job->name);
    json_put_hex(builder, object, "id", view->job);
    json_put_text(builder, object, "state", view->state);
    if (view->ended) {
        json_put_text(builder, object, "ended", muster_status_name(view->ended_status));
        json_put_text(builder, object, "ended_text", view->ended_text);
    }
    json_put_number(builder, object, "term", view->term);
    json_put_number(builder, object, "epoch", view->epoch);
    json_put_int(builder, object, "ranks", view->member_count);
    json_put_int(builder, object, "spares", view->spare_count);
    json_put_int(builder, object, "launchers", view->launcher_count);
    json_put_bool(builder, object, "adopting", view->adopting);
    if (view->has_step) {
        json_object *committed = json_begin(builder);
        json_put_number(builder, committed, "epoch", view->committed_epoch);
        json_put_number(builder, committed, "step", view->committed_step);
        json_put(builder, object, "committed", committed);
    } else {
        json_put_null(builder, object, "committed");
    }
    json_put_rules(builder, object, view);
    json_object *slots = json_begin_list(builder);
    for (int32_t i = 0; i < view->slot_count && !builder->failed; i++)
        json_append(builder, slots, json_slot(builder, &view->slots[i]));
    json_put(builder, object, "slots", slots);
    json_put_waits(builder, object, view);
    json_put_pending(builder, object, view);
    json_put_history(builder, object, overview, &job->history);
    return object;
}

static json_object *json_coordinator(json_builder *builder, const muster_overview *overview)
{
    json_object *object = json_begin(builder);
    json_put_number(builder, object, "term", overview->term);
    json_put_text(builder, object, "endpoint", overview->endpoint);
    json_put_ms(builder, object, "up_ms", overview->up_ns);
    json_put_bool(builder, object, "journal", overview->has_journal);
    json_put_bool(builder, object, "keys", overview->asks_for_keys);
    json_put_number(builder, object, "connections", overview->connection_count);
    json_put_number(builder, object, "messages", overview->messages_heard);
    json_object *refused = json_begin_list(builder);
    for (size_t i = 0; i < overview->refusal_count; i++) {
        json_object *refusal = json_begin(builder);
        json_put_text(builder, refusal, "reason", overview->refusals[i].name);
        json_put_text(builder, refusal, "text", overview->refusals[i].text);
        json_put_number(builder, refusal, "count", overview->refusals[i].count);
        json_append(builder, refused, refusal);
    }
    json_put(builder, object, "refused", refused);
    return object;
}

char *muster_overview_json(const muster_overview *overview)
{
    json_builder builder = {false};
    char version[32];
    json_object *object = json_begin(&builder);
    snprintf(version, sizeof version, "%d.%d.%d", MUSTER_VERSION_MAJOR, MUSTER_VERSION_MINOR,
             MUSTER_VERSION_PATCH);
    json_put_text(&builder, object, "muster", version);
    json_put_int(&builder, object, "time_ms", overview->wall_ms);
    json_put(&builder, object, "coordinator", json_coordinator(&builder, overview));
    json_object *jobs = json_begin_list(&builder);
    for (size_t i = 0; i < overview->job_count; i++)
        json_append(&builder, jobs, json_job(&builder, overview, &overview->jobs[i]));
    json_put(&builder, object, "jobs", jobs);
    char *text = NULL;
    if (!builder.failed) {
        const char *json = json_object_to_json_string_ext(
            object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        text = json != NULL ? strdup(json) : NULL;
    }
    json_object_put(object);
    return text;
}
