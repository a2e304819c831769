/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers without state: a number is a function of where it is used, so that a rank that comes
 * late, or goes back a step, draws the same ones. (The mixing is splitmix64's.) */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

static inline uint64_t random_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* The number for the place (seed, a, b). */
static inline uint64_t random_at(uint64_t seed, uint64_t a, uint64_t b)
{
    return random_mix(random_mix(random_mix(seed) ^ a) ^ b);
}

/* Uniform in [-1, 1). */
static inline double random_signed_at(uint64_t seed, uint64_t a, uint64_t b)
{
    return (double)(random_at(seed, a, b) >> 11) * 0x1p-52 - 1.0;
}

#endif
