/* SPDX-License-Identifier: Apache-2.0 */
#include "status/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_LEAST_BYTES ((size_t)4096)

static bool text_reserve(muster_text *text, size_t more)
{
    if (text->failed)
        return false;
    if (text->capacity - text->length > more)
        return true;
    size_t capacity = text->capacity > 0 ? text->capacity : TEXT_LEAST_BYTES;
    while (capacity - text->length <= more)
        capacity *= 2;
    char *bytes = realloc(text->bytes, capacity);
    text->failed = bytes == NULL;
    if (bytes == NULL)
        return false;
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

void muster_text_add(muster_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int needed = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (needed >= 0 && text_reserve(text, (size_t)needed)) {
        vsnprintf(text->bytes + text->length, (size_t)needed + 1, format, again);
        text->length += (size_t)needed;
    }
    text->failed = text->failed || needed < 0;
    va_end(again);
}

char *muster_text_take(muster_text *text)
{
    char *bytes = text->bytes;
    if (text->failed || !text_reserve(text, 0)) {
        free(bytes);
        bytes = NULL;
    } else {
        bytes = text->bytes;
        bytes[text->length] = '\0';
    }
    *text = (muster_text){0};
    return bytes;
}

/* Bytes of the character that begins at raw; 0: it is none that may be shown. */
static size_t text_character(const unsigned char *raw)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = raw[0] < 0x80 ? 1 : raw[0] >> 5 == 6 ? 2 : raw[0] >> 4 == 14 ? 3 : 4;
    if (bytes == 1)
        return raw[0] >= 0x20 && raw[0] != 0x7f ? 1 : 0;
    if (bytes == 4 && raw[0] >> 3 != 30)
        return 0;
    uint32_t point = raw[0] & (0x7fu >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if (raw[i] >> 6 != 2)
            return 0;
        point = point << 6 | (raw[i] & 0x3fu);
    }
    bool control = point < 0xa0;
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    /* Marks that turn the direction of what follows. */
    bool turns = (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
    return point < least[bytes] || control || surrogate || turns || point > 0x10ffff ? 0 : bytes;
}

const char *muster_text_clean(const char *raw, char *clean, size_t bytes)
{
    const unsigned char *from = (const unsigned char *)raw;
    size_t used = 0;
    while (*from != '\0') {
        size_t length = text_character(from);
        size_t needed = length > 0 ? length : 1;
        if (used + needed >= bytes)
            break;
        if (length > 0)
            memcpy(clean + used, from, length);
        else
            clean[used] = '?';
        used += needed;
        from += needed;
    }
    clean[used] = '\0';
    return clean;
}
