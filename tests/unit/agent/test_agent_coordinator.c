/* SPDX-License-Identifier: Apache-2.0 */
/* Agents against the real coordinator, over real sockets: a whole job without its data plane. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <pthread.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "coordinator/coordinator.h"

#define SLOTS 3
#define PATIENCE_NS ((int64_t)20 * 1000000000)
#define MS ((int64_t)1000000)

typedef struct job {
    char folder[64];
    char journal[96];
    char endpoint[256];
    muster_coordinator *coordinator;
    muster_policy policy;
    muster_agent *agents[SLOTS];
} job;

static int64_t deadline(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + PATIENCE_NS;
}

static void coordinator_start(job *of)
{
    muster_coordinator_options options;
    muster_error error;
    muster_coordinator_options_init(&options);
    muster_error_init(&error);
    options.endpoint = of->endpoint;
    options.journal = of->journal;
    options.policy = of->policy;
    if (muster_coordinator_start(&options, &of->coordinator, &error) != MUSTER_OK) {
        fail_msg("%s", error.message);
    }
    snprintf(of->endpoint, sizeof of->endpoint, "%s", muster_coordinator_endpoint(of->coordinator));
}

static void job_start(job *of, muster_on_loss on_loss)
{
    memset(of, 0, sizeof *of);
    snprintf(of->folder, sizeof of->folder, "/tmp/muster-agent-XXXXXX");
    assert_non_null(mkdtemp(of->folder));
    snprintf(of->journal, sizeof of->journal, "%s/journal", of->folder);
    snprintf(of->endpoint, sizeof of->endpoint, "tcp://127.0.0.1:*");
    of->policy = (muster_policy){.slot_count = SLOTS,
                                 .on_loss = on_loss,
                                 .min_ranks = 1,
                                 .max_replacements = 4,
                                 .crash_loop_deaths = 4};
    muster_deadlines_defaults(&of->policy.deadlines);
    of->policy.deadlines.heartbeat_ns = 20 * MS;
    of->policy.deadlines.suspect_ns = 200 * MS;
    of->policy.deadlines.reconnect_ns = 600 * MS;
    coordinator_start(of);
}

static void job_end(job *of)
{
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        if (of->agents[slot]) {
            muster_agent_stop(of->agents[slot]);
        }
    }
    muster_coordinator_stop(of->coordinator);
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", of->folder);
    assert_int_equal(system(command), 0);
}

static muster_agent *join(job *of, int32_t slot, uint32_t incarnation)
{
    muster_agent_options options = {.coordinator = of->endpoint,
                                    .job_name = "agents",
                                    .slot = slot,
                                    .slot_count = SLOTS,
                                    .incarnation = incarnation,
                                    .blob = {.bytes = 2, .data = {1, (uint8_t)slot}},
                                    .contact_timeout_ns = PATIENCE_NS,
                                    .deadline_ns = deadline()};
    muster_agent *agent = NULL;
    muster_error error;
    muster_error_init(&error);
    if (muster_agent_start(&options, &agent, &error) != MUSTER_OK) {
        fail_msg("slot %d: %s", slot, error.message);
    }
    return agent;
}

typedef struct rank {
    muster_agent *agent;
    uint64_t after_epoch;
    uint64_t epoch;
    int32_t member_count;
    muster_status status;
    muster_error error;
} rank;

static void *enter(void *context)
{
    rank *of = context;
    muster_membership membership;
    muster_error_init(&of->error);
    of->status =
        muster_agent_await_agreed(of->agent, of->after_epoch, deadline(), &membership, &of->error);
    if (of->status == MUSTER_OK) {
        of->epoch = membership.epoch;
        of->member_count = membership.agreed.u.agreed.member_count;
        muster_membership_clean_up(&membership);
        of->status = muster_agent_await_established(of->agent, of->epoch, deadline(), &of->error);
    }
    return NULL;
}

/* Every agent that is there enters the next epoch, each on its own thread; returns the epoch. */
static uint64_t enter_all(job *of, uint64_t after_epoch, int32_t expected_members)
{
    rank ranks[SLOTS];
    pthread_t threads[SLOTS];
    uint64_t epoch = 0;
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        ranks[slot] = (rank){.agent = of->agents[slot], .after_epoch = after_epoch};
        if (of->agents[slot]) {
            assert_int_equal(pthread_create(&threads[slot], NULL, enter, &ranks[slot]), 0);
        }
    }
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        if (!of->agents[slot]) {
            continue;
        }
        pthread_join(threads[slot], NULL);
        if (ranks[slot].status != MUSTER_OK) {
            fail_msg("slot %d: %s", slot, ranks[slot].error.message);
        }
        assert_int_equal(ranks[slot].member_count, expected_members);
        assert_true(epoch == 0 || epoch == ranks[slot].epoch);
        epoch = ranks[slot].epoch;
    }
    return epoch;
}

static void join_all(job *of)
{
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        of->agents[slot] = join(of, slot, UINT32_MAX);
    }
}

static void await_revoked(const job *of, uint64_t epoch)
{
    int64_t until_ns = deadline();
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        while (of->agents[slot] && !muster_agent_revoked(of->agents[slot], epoch)) {
            assert_true(deadline() - PATIENCE_NS < until_ns);
            usleep(1000);
        }
    }
}

static void quiet_all(job *of, uint64_t epoch)
{
    muster_blob blob = {.bytes = 1, .data = {7}};
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        if (of->agents[slot]) {
            muster_agent_quiet(of->agents[slot], epoch, 0, &blob, NULL, 0);
        }
    }
}

static void await_term(const muster_agent *agent, uint64_t term)
{
    int64_t until_ns = deadline();
    while (muster_agent_term(agent) < term) {
        assert_true(deadline() - PATIENCE_NS < until_ns);
        usleep(1000);
    }
}

static void forms_and_leaves(void **state)
{
    (void)state;
    job of;
    job_start(&of, MUSTER_ON_LOSS_REPLACE);
    join_all(&of);
    assert_int_equal(enter_all(&of, 0, SLOTS), 1);
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        assert_int_equal(muster_agent_leave(of.agents[slot], NULL), MUSTER_OK);
        of.agents[slot] = NULL;
    }
    job_end(&of);
}

static void a_dead_rank_is_shrunk_away(void **state)
{
    (void)state;
    job of;
    job_start(&of, MUSTER_ON_LOSS_SHRINK);
    join_all(&of);
    uint64_t epoch = enter_all(&of, 0, SLOTS);
    muster_agent_stop(
        of.agents[2]); /* its process died: the connection breaks, nobody proves more */
    of.agents[2] = NULL;
    muster_agent_report_dying(of.agents[0], 2, 0);
    await_revoked(&of, epoch);
    muster_death death;
    assert_int_equal(muster_agent_deaths(of.agents[1], epoch, &death, 1), 1);
    assert_int_equal(death.slot, 2);
    assert_int_equal(death.evidence, MUSTER_EVIDENCE_ROBUST_FUTEX);
    quiet_all(&of, epoch);
    assert_true(enter_all(&of, epoch, SLOTS - 1) > epoch);
    assert_false(muster_agent_revoked(of.agents[0], epoch + 1));
    job_end(&of);
}

static void a_lost_connection_is_a_verdict_after_its_grace(void **state)
{
    (void)state;
    job of;
    job_start(&of, MUSTER_ON_LOSS_REPLACE);
    join_all(&of);
    uint64_t epoch = enter_all(&of, 0, SLOTS);
    muster_agent_stop(of.agents[0]);
    of.agents[0] = NULL;
    await_revoked(&of, epoch);
    quiet_all(&of, epoch);
    of.agents[0] = join(&of, 0, 1); /* started again by somebody */
    assert_true(enter_all(&of, epoch, SLOTS) > epoch);
    job_end(&of);
}

/* The coordinator dies and comes back from its journal, twice: once in an epoch that runs, once in the
 * middle of a rebuild. */
static void the_coordinator_comes_back(void **state)
{
    (void)state;
    job of;
    job_start(&of, MUSTER_ON_LOSS_SHRINK);
    join_all(&of);
    uint64_t epoch = enter_all(&of, 0, SLOTS);
    uint64_t term = muster_coordinator_term(of.coordinator);
    muster_coordinator_stop(of.coordinator);
    coordinator_start(&of);
    assert_true(muster_coordinator_term(of.coordinator) > term);
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        await_term(of.agents[slot], muster_coordinator_term(of.coordinator));
        assert_false(muster_agent_revoked(of.agents[slot], epoch));
    }
    muster_agent_stop(of.agents[1]);
    of.agents[1] = NULL;
    muster_agent_report_dying(of.agents[0], 1, 0);
    await_revoked(&of, epoch);
    muster_blob blob = {0};
    muster_agent_quiet(of.agents[0], epoch, 0, &blob, NULL, 0);
    muster_coordinator_stop(of.coordinator);
    muster_agent_quiet(of.agents[2], epoch, 0, &blob, NULL, 0); /* said to nobody, for now */
    coordinator_start(&of);
    assert_true(enter_all(&of, epoch, SLOTS - 1) > epoch);
    job_end(&of);
}

/* As above, but the journal is gone: the ranks tell the new coordinator who they are. */
static void the_coordinator_loses_its_journal(void **state)
{
    (void)state;
    job of;
    job_start(&of, MUSTER_ON_LOSS_SHRINK);
    join_all(&of);
    uint64_t epoch = enter_all(&of, 0, SLOTS);
    muster_coordinator_stop(of.coordinator);
    assert_int_equal(unlink(of.journal), 0);
    coordinator_start(&of);
    uint64_t term = muster_agent_term(of.agents[0]);
    for (int32_t slot = 0; slot < SLOTS; slot++) {
        await_term(of.agents[slot], term + 1);
    }
    muster_agent_stop(of.agents[1]);
    of.agents[1] = NULL;
    muster_agent_report_dying(of.agents[0], 1, 0);
    await_revoked(&of, epoch);
    quiet_all(&of, epoch);
    assert_true(enter_all(&of, epoch, SLOTS - 1) > epoch);
    job_end(&of);
}

static void a_taken_slot_is_refused(void **state)
{
    (void)state;
    job of;
    job_start(&of, MUSTER_ON_LOSS_REPLACE);
    of.agents[0] = join(&of, 0, UINT32_MAX);
    muster_agent_options options = {.coordinator = of.endpoint,
                                    .job_name = "agents",
                                    .slot = 0,
                                    .slot_count = SLOTS,
                                    .incarnation = UINT32_MAX,
                                    .blob = {.bytes = 1, .data = {99}}, /* another process */
                                    .deadline_ns = deadline()};
    muster_agent *second = NULL;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_agent_start(&options, &second, &error), MUSTER_ERR_SLOT_TAKEN);
    options.slot_count = SLOTS + 1;
    options.slot = 1;
    assert_int_equal(muster_agent_start(&options, &second, &error), MUSTER_ERR_INVALID_ARGUMENT);
    job_end(&of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_and_leaves),
        cmocka_unit_test(a_dead_rank_is_shrunk_away),
        cmocka_unit_test(a_lost_connection_is_a_verdict_after_its_grace),
        cmocka_unit_test(the_coordinator_comes_back),
        cmocka_unit_test(the_coordinator_loses_its_journal),
        cmocka_unit_test(a_taken_slot_is_refused),
    };
    return cmocka_run_group_tests_name("agent_coordinator", tests, NULL, NULL);
}
