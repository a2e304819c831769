/* SPDX-License-Identifier: Apache-2.0 */
/* What CUDA keeps for a thread and what the plug-in does with it, on a device that is not the first one. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "plugin_rank.h"
#include "public_api.h"

enum { RANKS = 2, BYTES = 5000 };

static const int both[] = {0, 1};

/* ---- the driver's own view ---- */

typedef struct driver {
    int (*current)(void **context);
    int (*state)(int device, unsigned *flags, int *active);
} driver;

static void *find(const plugin_rank *self, const char *name)
{
    void *function = NULL;
    int found = 0;
    PLUGIN_CHECK(self, cudaGetDriverEntryPointByVersion(name, &function, 12000, 0, &found) ==
                           CUDA_SUCCESS);
    PLUGIN_CHECK(self, function != NULL);
    return function;
}

/* On a thread that has a context: the look-up may need one. */
static driver find_driver(const plugin_rank *self)
{
    driver found;
    void *current = find(self, "cuCtxGetCurrent");
    void *state = find(self, "cuDevicePrimaryCtxGetState");
    memcpy(&found.current, &current, sizeof(current));
    memcpy(&found.state, &state, sizeof(state));
    return found;
}

static bool device_has_context(const plugin_rank *self, const driver *of, int device)
{
    unsigned flags;
    int active = 0;
    PLUGIN_CHECK(self, of->state(device, &flags, &active) == 0);
    return active != 0;
}

/* ---- another thread's batch ---- */

typedef struct other_thread {
    plugin_rank *self;
    const driver *of;
    unsigned char *out;
    unsigned char *in;
} other_thread;

static void swap(plugin_rank *self, unsigned char *out, unsigned char *in)
{
    const muster_transport_operation operations[] = {
        {.kind = MUSTER_TRANSPORT_SEND, .peer = 1 - self->rank, .data = out, .bytes = BYTES},
        {.kind = MUSTER_TRANSPORT_RECEIVE, .peer = 1 - self->rank, .data = in, .bytes = BYTES}};
    muster_device_batch *batch = NULL;
    PLUGIN_CHECK(self, self->table->check_stream(self->device, NULL, &self->error) == MUSTER_OK);
    PLUGIN_CHECK(self,
                 self->table->check_memory(self->device, in, BYTES, &self->error) == MUSTER_OK);
    PLUGIN_CHECK(self, self->table->submit(self->comm, NULL, operations, 2, &batch, &self->error) ==
                           MUSTER_OK);
    PLUGIN_CHECK(self, plugin_rank_finish(self, batch) == MUSTER_OK);
    self->table->release(batch);
}

static void expect_untouched(const plugin_rank *self, const driver *of)
{
    void *context = NULL;
    int device = -1;
    PLUGIN_CHECK(self, of->current(&context) == 0);
    PLUGIN_CHECK(self, context == NULL);
    PLUGIN_CHECK(self, cudaGetDevice(&device) == CUDA_SUCCESS);
    PLUGIN_CHECK(self, device == 0);
}

static void *swap_without_a_device(void *argument)
{
    const other_thread *with = argument;
    expect_untouched(with->self, with->of);
    swap(with->self, with->out, with->in);
    expect_untouched(with->self, with->of);
    return NULL;
}

/* Who ends is lost to the other one, which may still be at it. */
static void meet(plugin_rank *self)
{
    plugin_rank_mark(0);
    plugin_rank_await_marks(self, 0, RANKS);
}

static void run_thread(plugin_rank *self, void *(*body)(void *), other_thread *with)
{
    pthread_t thread;
    PLUGIN_CHECK(self, pthread_create(&thread, NULL, body, with) == 0);
    PLUGIN_CHECK(self, pthread_join(thread, NULL) == 0);
}

/* Also none of device 0's, which a rank of another device has no use for and would pay for. */
static void a_thread_that_has_chosen_no_device(plugin_rank *self)
{
    plugin_rank_open(self);
    const driver of = find_driver(self);
    PLUGIN_CHECK(self, self->process == 0 || !device_has_context(self, &of, 0));
    PLUGIN_CHECK(self, plugin_rank_connect(self, both, RANKS, 1) == MUSTER_OK);
    other_thread with = {.self = self,
                         .of = &of,
                         .out = plugin_rank_memory(self, BYTES),
                         .in = plugin_rank_memory(self, BYTES)};
    plugin_rank_fill(self, with.out, BYTES, (uint64_t)self->rank);
    const bool before = device_has_context(self, &of, 0); /* NCCL's, if any */
    run_thread(self, swap_without_a_device, &with);
    PLUGIN_CHECK(self, device_has_context(self, &of, 0) == before);
    PLUGIN_CHECK(self, plugin_rank_holds(self, with.in, BYTES, (uint64_t)(1 - self->rank)));
    plugin_rank_free(self, with.out);
    plugin_rank_free(self, with.in);
    meet(self);
}

/* ---- a capture ---- */

static void *swap_beside_a_capture(void *argument)
{
    const other_thread *with = argument;
    swap(with->self, with->out, with->in);
    return NULL;
}

/* In the mode that CUDA begins with, which lets no other thread of that mode ask after an event. */
static void a_capture_on_another_thread(plugin_rank *self)
{
    cuda_stream stream = NULL;
    cuda_graph graph = NULL;
    plugin_rank_open(self);
    PLUGIN_CHECK(self, plugin_rank_connect(self, both, RANKS, 1) == MUSTER_OK);
    other_thread with = {.self = self,
                         .out = plugin_rank_memory(self, BYTES),
                         .in = plugin_rank_memory(self, BYTES)};
    plugin_rank_fill(self, with.out, BYTES, (uint64_t)self->rank);
    swap(self, with.out, with.in); /* NCCL connects, and allocates */
    PLUGIN_CHECK(self,
                 cudaStreamCreateWithFlags(&stream, CUDA_STREAM_NON_BLOCKING) == CUDA_SUCCESS);
    PLUGIN_CHECK(self, cudaStreamBeginCapture(stream, CUDA_CAPTURE_MODE_GLOBAL) == CUDA_SUCCESS);
    run_thread(self, swap_beside_a_capture, &with);
    PLUGIN_CHECK(self, cudaStreamEndCapture(stream, &graph) == CUDA_SUCCESS);
    PLUGIN_CHECK(self, cudaGraphDestroy(graph) == CUDA_SUCCESS);
    PLUGIN_CHECK(self, cudaStreamDestroy(stream) == CUDA_SUCCESS);
    PLUGIN_CHECK(self, plugin_rank_holds(self, with.in, BYTES, (uint64_t)(1 - self->rank)));
    plugin_rank_free(self, with.out);
    plugin_rank_free(self, with.in);
    meet(self);
}

int main(void)
{
    if (plugin_rank_devices() < RANKS) {
        printf("skip: %d devices, needs %d\n", plugin_rank_devices(), RANKS);
        return 77;
    }
    bool well = plugin_rank_run("a thread that has chosen no device", RANKS,
                                a_thread_that_has_chosen_no_device, NULL);
    well =
        plugin_rank_run("a capture on another thread", RANKS, a_capture_on_another_thread, NULL) &&
        well;
    return well ? 0 : 1;
}
