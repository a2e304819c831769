/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that are killed or stopped in every phase: the survivors are released, nothing of the old epoch is left in
 * them, and the new one moves right bytes. Where the communicator is healthy it is shrunk, else connected anew. */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plugin_rank.h"

typedef enum phase {
    WHILE_CONNECTING,
    INSTEAD_OF_CONNECTING,
    BEFORE_A_BATCH,
    INSIDE_A_BATCH,
    AFTER_A_BATCH,
    WHILE_SHRINKING,
    WHILE_ABORTING,
    PHASES
} phase;

static const char *const phase_texts[] = {
    "while they connect",           "instead of connecting", "before a batch",  "inside a batch",
    "after a batch, then a shrink", "while they shrink",     "while they abort"};

enum { RANKS = 4, MARK_DONE = 1, MARK_CAN_SHRINK, MARK_CANNOT_SHRINK };

/* Set before the processes are forked. */
static struct {
    phase phase;
    int signal;
    uint64_t victims; /* fall in the phase; of two-step phases the last one, the others before */
} scenario;

static const int all[] = {0, 1, 2, 3};

static bool is_victim(const plugin_rank *self)
{
    return (scenario.victims >> self->process & 1) != 0;
}

static void fall(void)
{
    kill(getpid(), scenario.signal);
    for (;;)
        pause();
}

static void *fall_soon(void *argument)
{
    plugin_rank_pause_ms(*(int *)argument);
    fall();
    return NULL;
}

/* After that long, whatever the process is at then. */
static void start_to_fall(plugin_rank *self, int *ms)
{
    pthread_t thread;
    PLUGIN_CHECK(self, pthread_create(&thread, NULL, fall_soon, ms) == 0);
    pthread_detach(thread);
}

static void await_loss(plugin_rank *self)
{
    while (!plugin_rank_is_revoked(self))
        plugin_rank_pause_ms(1);
}

static int lost_count(const plugin_rank *self)
{
    int count = 0;
    for (int i = 0; i < self->size; i++)
        count += plugin_rank_is_lost(self->members[i]);
    return count;
}

/* All who are going to fall have. */
static void await_losses(plugin_rank *self, int count)
{
    while (lost_count(self) < count)
        plugin_rank_pause_ms(1);
}

/* Nobody falls before all are so far. */
static void meet(plugin_rank *self)
{
    plugin_rank_mark(MARK_DONE);
    plugin_rank_await_marks(self, MARK_DONE, RANKS);
}

static void go_on(plugin_rank *self, int epoch)
{
    int survivors[PLUGIN_PROCESSES_MAX];
    const int count = plugin_rank_survivors(self, survivors);
    PLUGIN_CHECK(self, plugin_rank_connect(self, survivors, count, epoch) == MUSTER_OK);
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 70000) == MUSTER_OK);
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 3) == MUSTER_OK);
}

static void recover_and_go_on(plugin_rank *self)
{
    await_losses(self, __builtin_popcountll(scenario.victims));
    plugin_rank_recover(self, false);
    go_on(self, 2);
}

/* ---- the phases ---- */

static void connecting(plugin_rank *self)
{
    int soon_ms = 20 * (self->process + 1);
    if (is_victim(self) && scenario.phase == INSTEAD_OF_CONNECTING)
        fall();
    if (is_victim(self))
        start_to_fall(self, &soon_ms);
    muster_status status = plugin_rank_connect(self, all, RANKS, 1);
    /* It may have been through before: then the loss shows at the next call. */
    if (status == MUSTER_OK && is_victim(self))
        await_loss(self);
    while (status == MUSTER_OK)
        status = plugin_rank_exchange(self, 1000);
    /* NCCL notices some losses before they are told. */
    PLUGIN_CHECK(self, status == MUSTER_ERR_RANK_LOST || status == MUSTER_ERR_DEVICE_CALL);
    recover_and_go_on(self);
}

static void in_batches(plugin_rank *self)
{
    int soon_ms = 30;
    PLUGIN_CHECK(self, plugin_rank_connect(self, all, RANKS, 1) == MUSTER_OK);
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 100) == MUSTER_OK);
    meet(self);
    if (is_victim(self) && scenario.phase == BEFORE_A_BATCH)
        fall();
    if (is_victim(self))
        start_to_fall(self, &soon_ms);
    const size_t bytes = scenario.phase == BEFORE_A_BATCH ? 5000 : (size_t)8 << 20;
    muster_status status = MUSTER_OK;
    while (status == MUSTER_OK)
        status = plugin_rank_exchange(self, bytes);
    PLUGIN_CHECK(self, status == MUSTER_ERR_RANK_LOST);
    recover_and_go_on(self);
}

/* All survivors shrink, or none. */
static bool agree_to_shrink(plugin_rank *self, int survivors)
{
    const bool can = self->comm != NULL;
    plugin_rank_mark(can ? MARK_CAN_SHRINK : MARK_CANNOT_SHRINK);
    while (plugin_rank_marks(MARK_CAN_SHRINK) + plugin_rank_marks(MARK_CANNOT_SHRINK) < survivors)
        plugin_rank_pause_ms(1);
    return plugin_rank_marks(MARK_CANNOT_SHRINK) == 0;
}

static void after_a_batch(plugin_rank *self)
{
    PLUGIN_CHECK(self, plugin_rank_connect(self, all, RANKS, 1) == MUSTER_OK);
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 9000) == MUSTER_OK);
    meet(self);
    if (is_victim(self))
        fall();
    int survivors[RANKS];
    const int victims = __builtin_popcountll(scenario.victims);
    await_losses(self, victims);
    (void)plugin_rank_survivors(self, survivors);
    plugin_rank_recover(self, true);
    if (!agree_to_shrink(self, RANKS - victims)) {
        printf("  process %d: not healthy any more, connected anew\n", self->process);
        plugin_rank_close(self);
        go_on(self, 2);
        return;
    }
    PLUGIN_CHECK(self, plugin_rank_shrink(self, survivors, RANKS - victims, 2) == MUSTER_OK);
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 70000) == MUSTER_OK);
}

/* One falls after a batch, the other instead of its part in the shrink. */
static void shrinking(plugin_rank *self)
{
    const int last = 63 - __builtin_clzll(scenario.victims);
    PLUGIN_CHECK(self, plugin_rank_connect(self, all, RANKS, 1) == MUSTER_OK);
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 9000) == MUSTER_OK);
    meet(self);
    if (is_victim(self) && self->process != last)
        fall();
    int survivors[RANKS];
    const int victims = __builtin_popcountll(scenario.victims);
    await_losses(self, victims - 1);
    const int count = plugin_rank_survivors(self, survivors);
    plugin_rank_recover(self, true);
    if (agree_to_shrink(self, count)) {
        if (self->process == last)
            fall();
        const muster_status status = plugin_rank_shrink(self, survivors, count, 2);
        PLUGIN_CHECK(self, status == MUSTER_ERR_RANK_LOST || status == MUSTER_ERR_DEVICE_CALL);
    } else {
        plugin_rank_close(self);
        if (self->process == last)
            fall();
    }
    await_losses(self, 1);
    while (!plugin_rank_is_lost(last))
        plugin_rank_pause_ms(1);
    plugin_rank_recover(self, false);
    go_on(self, 3);
}

/* One falls before a batch, the other when all are aborting. */
static void aborting(plugin_rank *self)
{
    const int last = 63 - __builtin_clzll(scenario.victims);
    PLUGIN_CHECK(self, plugin_rank_connect(self, all, RANKS, 1) == MUSTER_OK);
    meet(self);
    if (is_victim(self) && self->process != last)
        fall();
    muster_status status = MUSTER_OK;
    while (status == MUSTER_OK)
        status = plugin_rank_exchange(self, 5000);
    PLUGIN_CHECK(self, status == MUSTER_ERR_RANK_LOST);
    self->table->revoke(self->device, false);
    if (self->process == last)
        fall();
    recover_and_go_on(self);
}

static void play(plugin_rank *self)
{
    plugin_rank_open(self);
    switch (scenario.phase) {
    case WHILE_CONNECTING:
    case INSTEAD_OF_CONNECTING:
        connecting(self);
        break;
    case BEFORE_A_BATCH:
    case INSIDE_A_BATCH:
        in_batches(self);
        break;
    case AFTER_A_BATCH:
        after_a_batch(self);
        break;
    case WHILE_SHRINKING:
        shrinking(self);
        break;
    case WHILE_ABORTING:
        aborting(self);
        break;
    case PHASES:
        break;
    }
}

/* A few of these times two signals: who falls is different each time, also the root, also two at once. */
static uint64_t choose_victims(phase when, int signal)
{
    static const uint64_t of_kill[] = {1 << 2, 1 << 1, 1 << 0, 1 << 3 | 1 << 1, 1 << 2};
    static const uint64_t of_stop[] = {1 << 1, 1 << 3, 1 << 2, 1 << 0, 1 << 1};
    if (when == WHILE_SHRINKING || when == WHILE_ABORTING)
        return signal == SIGKILL ? 1 << 1 | 1 << 3 : 1 << 0 | 1 << 2;
    return (signal == SIGKILL ? of_kill : of_stop)[when];
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGKILL, SIGSTOP};
    bool well = true;
    for (int i = 0; i < 2 * PHASES; i++) {
        char name[96];
        scenario.phase = (phase)(i / 2);
        scenario.signal = signals[i % 2];
        scenario.victims = choose_victims(scenario.phase, scenario.signal);
        snprintf(name, sizeof(name), "%s %s", scenario.signal == SIGKILL ? "killed" : "stopped",
                 phase_texts[scenario.phase]);
        if (argc > 1 && strstr(name, argv[1]) == NULL)
            continue;
        well = plugin_rank_run(name, RANKS, play, scenario.victims) && well;
    }
    return well ? 0 : 1;
}
