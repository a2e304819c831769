/* SPDX-License-Identifier: Apache-2.0 */
#include "plugin_loss.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* When this rank began to play; a process is one rank. */
static plugin_calls calls_at_first;

enum { MARK_MET, MARK_CAN_SHRINK, MARK_CANNOT_SHRINK };

bool plugin_loss_has_two_steps(plugin_loss_phase phase)
{
    return phase == PLUGIN_LOSS_WHILE_SHRINKING || phase == PLUGIN_LOSS_WHILE_ABORTING ||
           phase == PLUGIN_LOSS_WHILE_RECONNECTING;
}

const char *plugin_loss_text(plugin_loss_phase phase)
{
    static const char *const texts[] = {
        "while they connect", "instead of connecting",        "before a batch",
        "inside a batch",     "after a batch, then a shrink", "while they shrink",
        "while they abort",   "while they connect anew"};
    return texts[phase];
}

bool plugin_loss_is_victim(const plugin_loss *loss, int process)
{
    for (int i = 0; i < loss->victim_count; i++) {
        if (loss->victims[i] == process)
            return true;
    }
    return false;
}

static bool is_last(const plugin_loss *loss, const plugin_rank *self)
{
    return loss->victims[loss->victim_count - 1] == self->process;
}

/* ---- falling ---- */

static _Noreturn void fall_by(int signal)
{
    kill(getpid(), signal);
    for (;;)
        pause();
}

static _Noreturn void fall(const plugin_loss *loss, const plugin_rank *self)
{
    fall_by(loss->victims[0] == self->process ? loss->signals[0] : loss->signals[1]);
}

typedef struct planned_fall {
    int signal;
    int delay_ms;
} planned_fall;

static void *fall_soon(void *argument)
{
    const planned_fall *planned = argument;
    plugin_rank_pause_ms(planned->delay_ms);
    fall_by(planned->signal);
}

/* After its delay, whatever the process is at then. */
static void start_to_fall(const plugin_loss *loss, plugin_rank *self)
{
    static planned_fall planned; /* a process falls once */
    pthread_t thread;
    planned.signal = loss->victims[0] == self->process ? loss->signals[0] : loss->signals[1];
    planned.delay_ms = loss->delay_ms;
    PLUGIN_CHECK(self, pthread_create(&thread, NULL, fall_soon, &planned) == 0);
    pthread_detach(thread);
}

/* ---- what all do ---- */

/* The first `count` victims have fallen, and it is known. */
static void await_losses(const plugin_loss *loss, int count)
{
    for (int i = 0; i < count; i++) {
        while (!plugin_rank_is_lost(loss->victims[i]))
            plugin_rank_pause_ms(1);
    }
}

/* The members but the first `count` victims: each names the same, whenever it looks. */
static int survivors_of(const plugin_loss *loss, int count, int *survivors)
{
    int found = 0;
    for (int i = 0; i < loss->size; i++) {
        bool has_fallen = false;
        for (int j = 0; j < count; j++)
            has_fallen = has_fallen || loss->victims[j] == loss->members[i];
        if (!has_fallen)
            survivors[found++] = loss->members[i];
    }
    return found;
}

static void connect_all(const plugin_loss *loss, plugin_rank *self, bool and_exchange)
{
    PLUGIN_CHECK(self,
                 plugin_rank_connect(self, loss->members, loss->size, loss->epoch) == MUSTER_OK);
    if (and_exchange)
        PLUGIN_CHECK(self, plugin_rank_exchange(self, 9000) == MUSTER_OK);
    /* Nobody falls before all are so far. */
    plugin_rank_mark(loss->mark + MARK_MET);
    plugin_rank_await_marks(self, loss->mark + MARK_MET, loss->size);
}

/* Until the loss shows. NCCL notices some before they are told. */
static void exchange_until_lost(plugin_rank *self, muster_status status, size_t bytes)
{
    while (status == MUSTER_OK)
        status = plugin_rank_exchange(self, bytes);
    PLUGIN_CHECK(self, status == MUSTER_ERR_RANK_LOST || status == MUSTER_ERR_DEVICE_CALL);
}

static void go_on(const plugin_loss *loss, plugin_rank *self, int epoch)
{
    int survivors[PLUGIN_LOSS_RANKS_MAX];
    const int count = survivors_of(loss, loss->victim_count, survivors);
    const plugin_calls before = self->calls;
    PLUGIN_CHECK(self, plugin_rank_connect(self, survivors, count, epoch) == MUSTER_OK);
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 70000) == MUSTER_OK);
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 3) == MUSTER_OK);
    PLUGIN_CHECK(self, self->calls.initialisations == before.initialisations + 1);
    PLUGIN_CHECK(self, self->calls.shrinks == before.shrinks);
}

/* Aborts what was not healthy, where a batch that failed has not done so already, and connects anew. */
static void recover_and_go_on(const plugin_loss *loss, plugin_rank *self, int epoch)
{
    const bool had_one = self->comm != NULL;
    await_losses(loss, loss->victim_count);
    plugin_rank_recover(self, false);
    PLUGIN_CHECK(self, !had_one || self->calls.aborts > calls_at_first.aborts);
    go_on(loss, self, epoch);
}

/* ---- the phases ---- */

static void connecting(const plugin_loss *loss, plugin_rank *self)
{
    const bool falls = plugin_loss_is_victim(loss, self->process);
    if (falls && loss->phase == PLUGIN_LOSS_INSTEAD_OF_CONNECTING)
        fall(loss, self);
    if (falls)
        start_to_fall(loss, self);
    /* They may all be through before: then the loss shows at a batch. */
    exchange_until_lost(self, plugin_rank_connect(self, loss->members, loss->size, loss->epoch),
                        1000);
    recover_and_go_on(loss, self, loss->epoch + 1);
}

static void in_batches(const plugin_loss *loss, plugin_rank *self)
{
    const bool falls = plugin_loss_is_victim(loss, self->process);
    connect_all(loss, self, true);
    if (falls && loss->phase == PLUGIN_LOSS_BEFORE_A_BATCH)
        fall(loss, self);
    if (falls)
        start_to_fall(loss, self);
    exchange_until_lost(self, MUSTER_OK,
                        loss->phase == PLUGIN_LOSS_BEFORE_A_BATCH ? 5000 : (size_t)4 << 20);
    recover_and_go_on(loss, self, loss->epoch + 1);
}

/* All survivors shrink, or none. */
static bool agree_to_shrink(const plugin_loss *loss, const plugin_rank *self, int survivors)
{
    const int can = loss->mark + MARK_CAN_SHRINK, cannot = loss->mark + MARK_CANNOT_SHRINK;
    plugin_rank_mark(self->comm != NULL ? can : cannot);
    while (plugin_rank_marks(can) + plugin_rank_marks(cannot) < survivors)
        plugin_rank_pause_ms(1);
    return plugin_rank_marks(cannot) == 0;
}

/* Nothing was in flight, so the communicators are healthy, and none is aborted; or NCCL noticed the loss by itself,
 * which a rank that was only stopped does not let it. */
static bool keep_or_abort(const plugin_loss *loss, plugin_rank *self, int victims)
{
    int survivors[PLUGIN_LOSS_RANKS_MAX];
    bool killed = false;
    for (int i = 0; i < victims; i++)
        killed = killed || loss->signals[i] == SIGKILL;
    const plugin_calls before = self->calls;
    plugin_rank_recover(self, true);
    PLUGIN_CHECK(self, (self->comm != NULL) == (self->calls.aborts == before.aborts));
    PLUGIN_CHECK(self, self->comm != NULL || killed);
    const bool all = agree_to_shrink(loss, self, survivors_of(loss, victims, survivors));
    if (!all)
        printf("  process %d: not healthy any more, connects anew\n", self->process);
    return all;
}

static void after_a_batch(const plugin_loss *loss, plugin_rank *self)
{
    int survivors[PLUGIN_LOSS_RANKS_MAX];
    connect_all(loss, self, true);
    if (plugin_loss_is_victim(loss, self->process))
        fall(loss, self);
    await_losses(loss, loss->victim_count);
    const int count = survivors_of(loss, loss->victim_count, survivors);
    if (!keep_or_abort(loss, self, loss->victim_count)) {
        plugin_rank_close(self);
        go_on(loss, self, loss->epoch + 1);
        return;
    }
    const plugin_calls before = self->calls;
    PLUGIN_CHECK(self, plugin_rank_shrink(self, survivors, count, loss->epoch + 1) == MUSTER_OK);
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 70000) == MUSTER_OK);
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 3) == MUSTER_OK);
    PLUGIN_CHECK(self, self->calls.shrinks == before.shrinks + 1);
    PLUGIN_CHECK(self, self->calls.initialisations == before.initialisations);
}

static void shrinking(const plugin_loss *loss, plugin_rank *self)
{
    int survivors[PLUGIN_LOSS_RANKS_MAX];
    connect_all(loss, self, true);
    const bool last = is_last(loss, self);
    if (plugin_loss_is_victim(loss, self->process) && !last)
        fall(loss, self);
    await_losses(loss, 1);
    const int count = survivors_of(loss, 1, survivors);
    if (keep_or_abort(loss, self, 1)) {
        if (last)
            start_to_fall(loss, self);
        exchange_until_lost(self, plugin_rank_shrink(self, survivors, count, loss->epoch + 1),
                            1000);
    } else {
        plugin_rank_close(self);
        if (last)
            fall(loss, self);
    }
    recover_and_go_on(loss, self, loss->epoch + 2);
}

static void aborting(const plugin_loss *loss, plugin_rank *self)
{
    connect_all(loss, self, false);
    const bool last = is_last(loss, self);
    if (plugin_loss_is_victim(loss, self->process) && !last)
        fall(loss, self);
    exchange_until_lost(self, MUSTER_OK, 5000);
    self->table->revoke(self->device, false);
    if (last)
        fall(loss, self);
    recover_and_go_on(loss, self, loss->epoch + 1);
}

static void reconnecting(const plugin_loss *loss, plugin_rank *self)
{
    int survivors[PLUGIN_LOSS_RANKS_MAX];
    connect_all(loss, self, true);
    const bool last = is_last(loss, self);
    if (plugin_loss_is_victim(loss, self->process) && !last)
        fall(loss, self);
    exchange_until_lost(self, MUSTER_OK, 5000);
    await_losses(loss, 1);
    plugin_rank_recover(self, false);
    if (last)
        start_to_fall(loss, self);
    const int count = survivors_of(loss, 1, survivors);
    exchange_until_lost(self, plugin_rank_connect(self, survivors, count, loss->epoch + 1), 1000);
    recover_and_go_on(loss, self, loss->epoch + 2);
}

void plugin_loss_play(const plugin_loss *loss, plugin_rank *self)
{
    calls_at_first = self->calls;
    switch (loss->phase) {
    case PLUGIN_LOSS_WHILE_CONNECTING:
    case PLUGIN_LOSS_INSTEAD_OF_CONNECTING:
        connecting(loss, self);
        break;
    case PLUGIN_LOSS_BEFORE_A_BATCH:
    case PLUGIN_LOSS_INSIDE_A_BATCH:
        in_batches(loss, self);
        break;
    case PLUGIN_LOSS_AFTER_A_BATCH:
        after_a_batch(loss, self);
        break;
    case PLUGIN_LOSS_WHILE_SHRINKING:
        shrinking(loss, self);
        break;
    case PLUGIN_LOSS_WHILE_ABORTING:
        aborting(loss, self);
        break;
    case PLUGIN_LOSS_WHILE_RECONNECTING:
        reconnecting(loss, self);
        break;
    case PLUGIN_LOSS_PHASES:
        break;
    }
    PLUGIN_CHECK(self, !plugin_loss_is_victim(loss, self->process));
}
