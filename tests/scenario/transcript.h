/* SPDX-License-Identifier: Apache-2.0 */
/* What the core did, in words that a person reads: one line an action. */
#ifndef MUSTER_TESTS_SCENARIO_TRANSCRIPT_H
#define MUSTER_TESTS_SCENARIO_TRANSCRIPT_H

#include <stddef.h>

#include "core/core.h"

#define TRANSCRIPT_LINE_BYTES 1024

/* The line of an action without its receiver: "REVOKE epoch 1 deaths 2.0". */
void transcript_action(char *line, size_t line_bytes, const muster_core_action *action);

#endif
