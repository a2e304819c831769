/* SPDX-License-Identifier: Apache-2.0 */
/* The file of --losses: a line 'step loss' a committed step, the loss in hexadecimal so that two runs
 * can be compared bit for bit. A recovery goes back, so a step may come again: the last line of a
 * step is the one that counts. Written by the root of the moment, a line at a time, by appending. */
#ifndef LOSSES_H
#define LOSSES_H

#include <stdbool.h>

#include "progress.h"

/* path may be NULL: nothing is written. False, and a sentence on stderr, when it cannot be. */
bool losses_append(const char *path, const struct progress *progress);

#endif
