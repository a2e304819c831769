/* SPDX-License-Identifier: Apache-2.0 */
/* What the model's ranks and launchers say, as real messages. */
#ifndef MUSTER_TESTS_SIMULATION_SIZE_WORDS_H
#define MUSTER_TESTS_SIMULATION_SIZE_WORDS_H

#include "size_queue.h"

#define SIZE_JOB 77u
#define SIZE_TERM 5u

void size_words_policy(int32_t ranks, muster_policy *policy);
/* holdings: room for four, as long as the message. */
void size_words_message(int32_t ranks, const size_word *said, muster_message *message,
                        muster_holding *holdings);
/* As the wire has it. */
size_t size_words_bytes(const muster_message *message);

#endif
