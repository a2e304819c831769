/* SPDX-License-Identifier: Apache-2.0 */
/* The one source of everything random in a simulation: the same seed gives the same run. */
#ifndef MUSTER_TESTS_SIMULATION_CHANCE_H
#define MUSTER_TESTS_SIMULATION_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sim_chance {
    uint64_t state;
} sim_chance;

static inline uint64_t sim_chance_next(sim_chance *chance)
{
    uint64_t mixed = (chance->state += 0x9e3779b97f4a7c15u);
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

/* first to last, both possible. */
static inline int64_t sim_chance_between(sim_chance *chance, int64_t first, int64_t last)
{
    return first + (int64_t)(sim_chance_next(chance) % (uint64_t)(last - first + 1));
}

static inline bool sim_chance_percent(sim_chance *chance, int percent)
{
    return sim_chance_between(chance, 0, 99) < percent;
}

#endif
