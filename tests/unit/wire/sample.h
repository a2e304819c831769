/* SPDX-License-Identifier: Apache-2.0 */
/* Messages made up from a seed: every type, every field, arrays of any length. */
#ifndef MUSTER_TESTS_UNIT_WIRE_SAMPLE_H
#define MUSTER_TESTS_UNIT_WIRE_SAMPLE_H

#include "core/message.h"

/* A small generator (splitmix64), the same everywhere for one seed. */
uint64_t sample_random(uint64_t *state);

/* All message types; returns how many. */
int sample_types(const uint32_t **types);

/* A message of a type with made-up fields; ended with muster_message_clean_up. */
void sample_message(uint64_t *state, uint32_t type, muster_message *message);

#endif
