/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that are killed or stopped in every phase, each time in processes of their own.
 *
 *     plugin_losses [TEXT]        only those in whose name it is */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "plugin_loss.h"

enum { RANKS = 4 };

/* Set before the processes are forked. */
static plugin_loss loss;

static bool falls(int process)
{
    return plugin_loss_is_victim(&loss, process);
}

static void play(plugin_rank *self)
{
    plugin_rank_open(self);
    plugin_loss_play(&loss, self);
}

/* Who falls is different each time, also the root, also two at once. */
static plugin_loss make_loss(plugin_loss_phase phase, int signal)
{
    static const int of_kill[PLUGIN_LOSS_PHASES][2] = {{2, -1}, {1, -1}, {0, -1}, {3, 1},
                                                       {2, -1}, {1, 3},  {1, 3},  {0, 2}};
    static const int of_stop[PLUGIN_LOSS_PHASES][2] = {{1, -1}, {3, -1}, {2, -1}, {0, -1},
                                                       {1, 2},  {0, 2},  {0, 2},  {3, 1}};
    const int *victims = (signal == SIGKILL ? of_kill : of_stop)[phase];
    return (plugin_loss){.phase = phase,
                         .members = {0, 1, 2, 3},
                         .size = RANKS,
                         .victims = {victims[0], victims[1]},
                         .victim_count = victims[1] < 0 ? 1 : 2,
                         .signals = {signal, signal},
                         .delay_ms = phase == PLUGIN_LOSS_WHILE_SHRINKING ? 2 : 50};
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGKILL, SIGSTOP};
    bool well = true;
    if (plugin_rank_devices() < RANKS) {
        printf("skip: %d devices, needs %d\n", plugin_rank_devices(), RANKS);
        return 77;
    }
    for (int i = 0; i < 2 * PLUGIN_LOSS_PHASES; i++) {
        char name[96];
        loss = make_loss((plugin_loss_phase)(i / 2), signals[i % 2]);
        snprintf(name, sizeof(name), "%s %s", signals[i % 2] == SIGKILL ? "killed" : "stopped",
                 plugin_loss_text(loss.phase));
        if (argc > 1 && strstr(name, argv[1]) == NULL)
            continue;
        well = plugin_rank_run(name, RANKS, play, falls) && well;
    }
    return well ? 0 : 1;
}
