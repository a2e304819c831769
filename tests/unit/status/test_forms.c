/* SPDX-License-Identifier: Apache-2.0 */
/* The three forms: nothing that came over the wire breaks out of any of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <json-c/json.h>

#include "sample.h"

/* What could end a string, begin a tag, or speak to a terminal. */
#define HOSTILE "a\"\\\n<script>\x1b]0;x\x07{"

static json_object *member(json_object *object, const char *name)
{
    json_object *found = NULL;
    assert_true(json_object_object_get_ex(object, name, &found));
    return found;
}

static muster_overview *hostile_overview(void)
{
    muster_overview *overview = sample_overview(HOSTILE, 3);
    muster_note note = {.kind = MUSTER_NOTE_VERDICT,
                        .time_ns = (uint64_t)overview->now_ns - 5000000,
                        .epoch = 3,
                        .slot = 1,
                        .incarnation = 2,
                        .evidence = MUSTER_EVIDENCE_ROBUST_FUTEX};
    snprintf(note.text, sizeof note.text, "%s", HOSTILE);
    muster_history_note(&overview->jobs[0].history, &note);
    overview->jobs[0].view.job = 7;
    overview->jobs[0].view.ended = true;
    snprintf(overview->jobs[0].view.ended_text, sizeof overview->jobs[0].view.ended_text, HOSTILE);
    overview->jobs[0].view.slots[1].seat = MUSTER_VIEW_SEAT_STARTING;
    return overview;
}

static void json_says_all_of_it(void **state)
{
    (void)state;
    muster_overview *overview = hostile_overview();
    char *text = muster_overview_json(overview);
    assert_non_null(text);
    assert_null(strchr(text, '\n'));
    json_object *object = json_tokener_parse(text);
    assert_non_null(object);
    json_object *job = json_object_array_get_idx(member(object, "jobs"), 0);
    assert_string_equal(json_object_get_string(member(job, "name")), "a\"\\?<script>?]0;x?{");
    json_object *verdict = json_object_array_get_idx(member(job, "verdicts"), 0);
    assert_string_equal(json_object_get_string(member(verdict, "reason")),
                        muster_evidence_text(MUSTER_EVIDENCE_ROBUST_FUTEX));
    assert_int_equal(json_object_get_int(member(verdict, "slot")), 1);
    assert_int_equal(json_object_get_int(member(verdict, "incarnation")), 2);
    assert_int_equal(json_object_get_int64(member(verdict, "time_ms")), INT64_C(1700000000000) - 5);
    assert_int_equal(json_object_array_length(member(job, "slots")), 3);
    json_object_put(object);
    free(text);
    muster_overview_free(overview);
}

static void a_table_speaks_to_no_terminal(void **state)
{
    (void)state;
    muster_overview *overview = hostile_overview();
    char *text = muster_overview_table(overview);
    assert_non_null(text);
    assert_null(strchr(text, '\x1b'));
    assert_null(strchr(text, '\x07'));
    assert_non_null(strstr(text, "refused: 2 messages that were none"));
    assert_non_null(strstr(text, "a new process was asked for"));
    free(text);
    muster_overview_free(overview);
}

static void a_label_ends_where_it_should(void **state)
{
    (void)state;
    muster_overview *overview = hostile_overview();
    char *text = muster_overview_metrics(overview);
    assert_non_null(text);
    assert_non_null(strstr(
        text, "\nmuster_job_epoch{muster_job=\"a\\\"\\\\?<script>?]0;x?{#0000000000000007\"} 3\n"));
    assert_non_null(strstr(text, ",reason=\"robust_futex\"} 1\n"));
    assert_non_null(strstr(text, ",slot=\"0\"} 1\n"));
    free(text);
    muster_overview_free(overview);
}

static void a_name_of_nothing_but_quotes_fits(void **state)
{
    (void)state;
    char name[MUSTER_OVERVIEW_NAME_BYTES];
    memset(name, '"', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    muster_overview *overview = sample_overview(name, 1);
    char *text = muster_overview_metrics(overview);
    assert_non_null(text);
    const char *label = strstr(text, "muster_job_ranks{muster_job=\"");
    assert_non_null(label);
    label += strlen("muster_job_ranks{muster_job=\"");
    for (size_t i = 0; i < sizeof name - 1; i++)
        assert_memory_equal(label + 2 * i, "\\\"", 2);
    assert_memory_equal(label + 2 * (sizeof name - 1), "\"} 1\n", 5);
    free(text);
    muster_overview_free(overview);
}

static void large_jobs_have_sums_only(void **state)
{
    (void)state;
    muster_overview *overview = sample_overview("large", MUSTER_OVERVIEW_METRICS_SLOTS_MAX + 1);
    char *text = muster_overview_metrics(overview);
    assert_non_null(text);
    assert_non_null(strstr(text, "muster_job_slots{muster_job=\"large\",seat=\"filled\"} 513\n"));
    assert_null(strstr(text, "slot=\""));
    free(text);
    muster_overview_free(overview);
}

static void no_job_is_an_answer_too(void **state)
{
    (void)state;
    muster_overview *overview = muster_overview_new(0, 0);
    assert_non_null(overview);
    char *forms[] = {muster_overview_json(overview), muster_overview_metrics(overview),
                     muster_overview_table(overview)};
    for (size_t i = 0; i < 3; i++) {
        assert_non_null(forms[i]);
        free(forms[i]);
    }
    muster_overview_free(overview);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_says_all_of_it),
        cmocka_unit_test(a_table_speaks_to_no_terminal),
        cmocka_unit_test(a_label_ends_where_it_should),
        cmocka_unit_test(a_name_of_nothing_but_quotes_fits),
        cmocka_unit_test(large_jobs_have_sums_only),
        cmocka_unit_test(no_job_is_an_answer_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
