/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel.h"

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel_channel.h"
#include "kernel_one_rank.h"

int emulated_kernel_knows(int nccl_version)
{
    return nccl_layout_known(nccl_version) ? 1 : 0;
}

/* Ranks outnumber cores: whoever waits must soon let the others run, and who has waited long (a peer has died, or
 * computes) must cost next to nothing. */
#define ROUNDS_SPUN 16
#define ROUNDS_YIELDED 64
#define ROUNDS_SHORT 2000
#define SLEEP_NS_MIN 20000
#define SLEEP_NS_MAX 100000
#define SLEEP_NS_LONG 1000000

static void back_off(unsigned idle_rounds)
{
    struct timespec pause = {.tv_nsec = SLEEP_NS_MIN};

    if (idle_rounds < ROUNDS_SPUN)
        return;
    if (idle_rounds < ROUNDS_YIELDED) {
        (void)sched_yield();
        return;
    }
    pause.tv_nsec += (long)(idle_rounds - ROUNDS_YIELDED) * 1000;
    if (pause.tv_nsec > SLEEP_NS_MAX)
        pause.tv_nsec = idle_rounds < ROUNDS_SHORT ? SLEEP_NS_MAX : SLEEP_NS_LONG;
    (void)nanosleep(&pause, NULL);
}

static bool aborted(const nccl_communicator *communicator)
{
    return communicator->abort_flag != NULL &&
           __atomic_load_n(communicator->abort_flag, __ATOMIC_ACQUIRE) != 0;
}

static int run_channels(const nccl_communicator *communicator, kernel_channel *channels,
                        size_t count, char *message, size_t message_bytes)
{
    size_t open = count;
    unsigned idle_rounds = 0;

    while (open != 0 && !aborted(communicator)) {
        bool moved = false;

        for (size_t at = 0; at < count; at++) {
            if (channels[at].over)
                continue;
            if (kernel_channel_advance(&channels[at], &moved, message, message_bytes) != 0)
                return -1;
            open -= channels[at].over ? 1 : 0;
        }
        if (moved)
            idle_rounds = 0;
        else
            back_off(idle_rounds < UINT16_MAX ? idle_rounds++ : idle_rounds);
    }
    return 0;
}

static int run(const emulated_launch *launch, const nccl_arguments *arguments,
               kernel_channel *channels, char *message, size_t message_bytes)
{
    size_t count = 0;
    int result = 0;

    for (unsigned number = 0; number < NCCL_CHANNELS_MAX && result == 0; number++) {
        if ((arguments->channel_mask >> number & 1U) == 0)
            continue;
        result = kernel_channel_open(&channels[count], launch, arguments->communicator, number,
                                     (int)count, message, message_bytes);
        count++;
    }
    if (result == 0)
        result = run_channels(arguments->communicator, channels, count, message, message_bytes);
    for (size_t at = 0; at < count; at++)
        kernel_channel_close(&channels[at]);
    return result;
}

/* The communicator points at its own channels: a layout that has changed is caught here in most cases. */
static int check(const emulated_launch *launch, nccl_arguments *arguments, char *message,
                 size_t message_bytes)
{
    const nccl_communicator *communicator;

    if (launch->argument_bytes < sizeof(*arguments)) {
        (void)snprintf(message, message_bytes,
                       "an argument block of %zu bytes, at least %zu expected",
                       launch->argument_bytes, sizeof(*arguments));
        return -1;
    }
    memcpy(arguments, launch->arguments, sizeof(*arguments));
    communicator = arguments->communicator;
    if (communicator == NULL ||
        (const uint8_t *)communicator->channels !=
            (const uint8_t *)communicator + NCCL_CHANNELS_OFFSET ||
        communicator->rank < 0 || communicator->rank >= communicator->rank_count ||
        (unsigned)__builtin_popcountll(arguments->channel_mask) != launch->grid_x) {
        (void)snprintf(message, message_bytes,
                       "its arguments are not laid out as nccl_layout.h says; is this an NCCL "
                       "version that it knows?");
        return -1;
    }
    return 0;
}

static int run_channels_of(const emulated_launch *launch, char *message, size_t message_bytes)
{
    nccl_arguments arguments;
    kernel_channel *channels;
    int result;

    if (check(launch, &arguments, message, message_bytes) != 0)
        return -1;
    channels = calloc(NCCL_CHANNELS_MAX, sizeof(*channels));
    if (channels == NULL) {
        (void)snprintf(message, message_bytes, "no memory for its channels");
        return -1;
    }
    result = run(launch, &arguments, channels, message, message_bytes);
    free(channels);
    return result;
}

/* NCCL has three families: those that a block of arguments with channels is for, the one rank's, and the symmetric
 * ones (ncclSymkDevKernel_...), which need memory that ranks map from each other. */
int emulated_kernel_run(const emulated_launch *launch, char *message, size_t message_bytes)
{
    const char *name = launch->kernel_name == NULL ? "without a name" : launch->kernel_name;

    if (kernel_one_rank_is(name))
        return kernel_one_rank_run(launch, message, message_bytes);
    if (strstr(name, "ncclDevKernel_") != NULL)
        return run_channels_of(launch, message, message_bytes);
    (void)snprintf(message, message_bytes, "kernel %s is not carried out on the CPU", name);
    return -1;
}
