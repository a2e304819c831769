/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stdint.h>

struct text {
    uint8_t *bytes; /* text_free */
    int64_t count;
};

/* Reads a whole file of at least least_bytes; else says on stderr, one sentence, what is wrong with
 * it, and returns false. */
bool text_read(const char *path, int64_t least_bytes, struct text *text);
void text_free(struct text *text);

/* One number for the whole contents: ranks that read different texts must not train together. */
uint64_t text_hash(const struct text *text);

#endif
