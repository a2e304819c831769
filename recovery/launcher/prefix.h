/* SPDX-License-Identifier: Apache-2.0 */
/* A rank's output cut into lines, each with the rank's name in front: "[2.0] step 7". Pure. */
#ifndef MUSTER_LAUNCHER_PREFIX_H
#define MUSTER_LAUNCHER_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUSTER_PREFIX_LABEL_BYTES 32
/* With its label and its end a piece fits into PIPE_BUF, so that lines of several launchers that
 * share a pipe do not mix. A longer line comes in pieces. */
#define MUSTER_PREFIX_PIECE_BYTES 4000

typedef struct muster_prefix {
    char label[MUSTER_PREFIX_LABEL_BYTES];
    size_t label_bytes;
    char piece[MUSTER_PREFIX_LABEL_BYTES + MUSTER_PREFIX_PIECE_BYTES + 1];
    size_t used; /* bytes of the line so far, without the label */
} muster_prefix;

/* Takes one whole line, with label and end. */
typedef void (*muster_prefix_sink)(void *context, const char *line, size_t bytes);

/* "[slot.incarnation] ", or "[spare] " for slots below 0. Starts a line that is empty, or goes on with
 * the one that was begun. */
void muster_prefix_set_label(muster_prefix *prefix, int32_t slot, uint32_t incarnation);
void muster_prefix_feed(muster_prefix *prefix, const char *bytes, size_t count,
                        muster_prefix_sink sink, void *context);
/* A last line without an end gets one. */
void muster_prefix_finish(muster_prefix *prefix, muster_prefix_sink sink, void *context);

#endif
