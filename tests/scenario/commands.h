/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of a scenario; scenario.c lists them. */
#ifndef MUSTER_TESTS_SCENARIO_COMMANDS_H
#define MUSTER_TESTS_SCENARIO_COMMANDS_H

#include "play.h"

/* Does the command that text says (which is taken apart). */
void commands_do(scenario_play *play, char *text);

#endif
