/* SPDX-License-Identifier: Apache-2.0 */
/* The plug-in's batches over real NCCL: sizes, queues, a borrowed communicator, communicators side by side. */
#include <stdio.h>
#include <string.h>

#include "plugin_rank.h"
#include "raw_api.h"

static const int all[] = {0, 1, 2, 3};

/* As many as there are devices for, at most four. */
static int ranks;

static void connect_all(plugin_rank *self, int size)
{
    plugin_rank_open(self);
    PLUGIN_CHECK(self, plugin_rank_connect(self, all, size, 1) == MUSTER_OK);
}

static void sizes(plugin_rank *self)
{
    static const size_t bytes[] = {0, 1, 7, 8, 4096, 4097, 131071, 1 << 20, (size_t)5 << 20};
    connect_all(self, ranks);
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
        PLUGIN_CHECK(self, plugin_rank_exchange(self, bytes[i]) == MUSTER_OK);
    /* Finalized by all, at their own pace. */
    plugin_rank_pause_ms(self->rank * 20);
}

static void one_rank(plugin_rank *self)
{
    connect_all(self, 1);
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 1000) == MUSTER_OK);
}

/* Batches begun one after the other without waiting, in both directions, are done in their order. */
static void a_queue(plugin_rank *self)
{
    enum { BATCHES = 12, BYTES = 10000 };
    muster_device_batch *batches[BATCHES];
    connect_all(self, 2);
    unsigned char *out = plugin_rank_memory(self, (size_t)2 * BATCHES * BYTES);
    unsigned char *in = out + (size_t)BATCHES * BYTES;
    const int peer = 1 - self->rank;
    for (int i = 0; i < BATCHES; i++) {
        unsigned char *sent = out + (size_t)i * BYTES;
        plugin_rank_fill(self, sent, BYTES, (uint64_t)100 * (uint64_t)self->rank + (uint64_t)i);
        const muster_transport_operation operations[] = {
            {.kind = MUSTER_TRANSPORT_SEND, .peer = peer, .data = sent, .bytes = BYTES},
            {.kind = MUSTER_TRANSPORT_RECEIVE,
             .peer = peer,
             .data = in + (size_t)i * BYTES,
             .bytes = BYTES}};
        PLUGIN_CHECK(self, self->table->submit(self->comm, NULL, operations, 2, &batches[i],
                                               &self->error) == MUSTER_OK);
    }
    PLUGIN_CHECK(self, plugin_rank_finish(self, batches[BATCHES - 1]) == MUSTER_OK);
    for (int i = 0; i < BATCHES; i++) {
        bool enqueued = false, done = false;
        PLUGIN_CHECK(self, self->table->progress(batches[i], &enqueued, &done, &self->error) ==
                               MUSTER_OK);
        PLUGIN_CHECK(self, enqueued && done);
        PLUGIN_CHECK(self, plugin_rank_holds(self, in + (size_t)i * BYTES, BYTES,
                                             (uint64_t)100 * (uint64_t)peer + (uint64_t)i));
        self->table->release(batches[i]);
    }
    plugin_rank_free(self, out);
}

/* The job's own all-gather in the bracket, between two batches. */
static void borrowed(plugin_rank *self)
{
    enum { BYTES = 1000 };
    const raw_api *nccl = raw_api_open();
    struct ncclComm *native = NULL;
    connect_all(self, ranks);
    PLUGIN_CHECK(self, nccl != NULL);
    if (nccl == NULL)
        return;
    unsigned char *mine = plugin_rank_memory(self, (size_t)BYTES * 5), *whole = mine + BYTES;
    for (int round = 0; round < 5; round++) {
        const uint64_t seed = (uint64_t)10 * (uint64_t)round;
        PLUGIN_CHECK(self, plugin_rank_exchange(self, 5000) == MUSTER_OK);
        plugin_rank_fill(self, mine, BYTES, seed + (uint64_t)self->rank);
        PLUGIN_CHECK(self, self->table->borrow(self->comm, &native, &self->error) == MUSTER_OK);
        const int result =
            nccl->ncclAllGather(mine, whole, BYTES, NCCL_CHAR, (nccl_comm)(void *)native, NULL);
        PLUGIN_CHECK(self, result == NCCL_SUCCESS || result == NCCL_IN_PROGRESS);
        /* Returned while NCCL is still at it: the next batch waits for that. */
        PLUGIN_CHECK(self, self->table->give_back(self->comm) == MUSTER_OK);
        PLUGIN_CHECK(self, plugin_rank_exchange(self, 5000) == MUSTER_OK);
        for (int i = 0; i < ranks; i++)
            PLUGIN_CHECK(self, plugin_rank_holds(self, whole + (size_t)i * BYTES, BYTES,
                                                 seed + (uint64_t)i));
    }
    plugin_rank_free(self, mine);
}

/* World and two halves, in turn. */
static void side_by_side(plugin_rank *self)
{
    connect_all(self, 4);
    muster_device_comm *world = self->comm;
    const int half = self->process / 2;
    const int members[] = {2 * half, 2 * half + 1};
    PLUGIN_CHECK(self, plugin_rank_connect(self, members, 2, 2 + half) == MUSTER_OK);
    for (int i = 0; i < 5; i++)
        PLUGIN_CHECK(self, plugin_rank_exchange(self, 3000) == MUSTER_OK);
    plugin_rank_close(self);
    self->comm = world;
    self->size = 4;
    self->rank = self->process;
    self->epoch = 1;
    memcpy(self->members, all, sizeof(all));
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 3000) == MUSTER_OK);
}

/* NCCL refuses that, and the plug-in says so, with NCCL's code. */
static void on_one_device(plugin_rank *self)
{
    plugin_rank_open(self);
    PLUGIN_CHECK(self, plugin_rank_connect(self, all, 2, 1) == MUSTER_ERR_DEVICE_CALL);
    PLUGIN_CHECK(self, self->comm == NULL);
    PLUGIN_CHECK(self, self->error.native_code != NCCL_SUCCESS);
    if (self->process == 0)
        printf("  %s\n", self->error.message);
    /* Who ends is lost to the other one, which may still be connecting. */
    plugin_rank_mark(0);
    plugin_rank_await_marks(self, 0, 2);
}

static bool run(const char *name, int count, int devices, plugin_body body)
{
    if (plugin_rank_devices() >= devices)
        return plugin_rank_run(name, count, body, NULL);
    printf("%-60s not run: needs %d devices\n", name, devices);
    return true;
}

int main(void)
{
    ranks = plugin_rank_devices() < 4 ? plugin_rank_devices() : 4;
    bool well = run("one rank", 1, 1, one_rank);
    well = run("gathers and scatters of many sizes", ranks, 2, sizes) && well;
    well = run("batches begun without waiting, 2 ranks", 2, 2, a_queue) && well;
    well = run("a borrowed communicator", ranks, 2, borrowed) && well;
    well = run("communicators side by side, 4 ranks", 4, 4, side_by_side) && well;
    if (plugin_rank_devices() == 1)
        well = run("two ranks on one device", 2, 1, on_one_device) && well;
    return well ? 0 : 1;
}
