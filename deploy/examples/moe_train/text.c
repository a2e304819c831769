/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads to the end without asking for the size first: a pipe has none. */
static bool read_all(FILE *file, struct text *text)
{
    size_t capacity = 0;
    size_t count = 0;
    for (;;) {
        if (count == capacity) {
            capacity = capacity == 0 ? 1 << 16 : 2 * capacity;
            uint8_t *larger = realloc(text->bytes, capacity);
            if (larger == NULL) {
                return false;
            }
            text->bytes = larger;
        }
        size_t came = fread(text->bytes + count, 1, capacity - count, file);
        count += came;
        if (came == 0) {
            text->count = (int64_t)count;
            return ferror(file) == 0;
        }
    }
}

bool text_read(const char *path, int64_t least_bytes, struct text *text)
{
    *text = (struct text){0};
    FILE *file = fopen(path, "rbe");
    bool good = file != NULL && read_all(file, text);
    if (!good) {
        fprintf(stderr, "moe_train: the text '%s' cannot be read: %s; give another with --text\n",
                path, strerror(errno));
    } else if (text->count < least_bytes) {
        fprintf(stderr,
                "moe_train: the text '%s' has %lld bytes, and at least %lld are needed; give a "
                "longer one with --text\n",
                path, (long long)text->count, (long long)least_bytes);
        good = false;
    }
    if (file != NULL) {
        fclose(file);
    }
    if (!good) {
        text_free(text);
    }
    return good;
}

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

uint64_t text_hash(const struct text *text)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (int64_t i = 0; i < text->count; i++) {
        hash = (hash ^ text->bytes[i]) * 0x100000001b3u;
    }
    return hash;
}
