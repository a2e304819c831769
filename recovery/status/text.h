/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows, and text that came over the wire. */
#ifndef MUSTER_STATUS_TEXT_H
#define MUSTER_STATUS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Longer than any name, note or endpoint. */
#define MUSTER_TEXT_CLEAN_BYTES 320

typedef struct muster_text {
    char *bytes; /* ends with NUL where it is not NULL */
    size_t length;
    size_t capacity;
    bool failed; /* memory ran out: what is there is incomplete */
} muster_text;

void muster_text_add(muster_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The text, for the caller to free; NULL when memory ran out. *text is empty afterwards. */
char *muster_text_take(muster_text *text);

/* A copy of raw in which nothing but printable UTF-8 is left: '?' stands for what could do something to
 * a terminal or is no UTF-8. Cut at bytes. Returns clean. */
const char *muster_text_clean(const char *raw, char *clean, size_t bytes);

#endif
