/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_writable(const muster_error *error)
{
    return error != NULL && error->struct_bytes >= sizeof(*error);
}

/* All but the sentence. struct_bytes stays: it is the caller's word on its own memory. */
static void fill(muster_error *error, muster_status status, muster_field field, int64_t expected,
                 int64_t came)
{
    error->status = status;
    error->rank = MUSTER_RANK_NONE;
    error->tensor_index = -1;
    error->field = field;
    error->expected = expected;
    error->came = came;
    error->native_code = 0;
    error->message[0] = '\0';
}

void muster_error_init(muster_error *error)
{
    if (error == NULL)
        return;
    memset(error, 0, sizeof(*error));
    error->struct_bytes = sizeof(*error);
    fill(error, MUSTER_OK, MUSTER_FIELD_NONE, 0, 0);
}

muster_status muster_error_set(muster_error *error, muster_status status, muster_field field,
                               int64_t expected, int64_t came, const char *format, ...)
{
    if (!is_writable(error))
        return status;
    fill(error, status, field, expected, came);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    return status;
}

muster_status muster_error_set_errno(muster_error *error, int errno_value, const char *what)
{
    const muster_status status = errno_value == ENOMEM ? MUSTER_ERR_NO_MEMORY : MUSTER_ERR_SYSTEM;
    if (!is_writable(error))
        return status;
    char buffer[128];
    /* The GNU form: the text may be in the buffer or not, and no other thread can change it. */
    const char *text = strerror_r(errno_value, buffer, sizeof(buffer));
    muster_error_set(error, status, MUSTER_FIELD_NONE, 0, 0, "%s: %s", what, text);
    error->native_code = errno_value;
    return status;
}

void muster_error_prefix(muster_error *error, const char *format, ...)
{
    if (!is_writable(error))
        return;
    char sentence[MUSTER_ERROR_MESSAGE_BYTES];
    memcpy(sentence, error->message, sizeof(sentence));
    sentence[sizeof(sentence) - 1] = '\0';
    va_list arguments;
    va_start(arguments, format);
    const int written = vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    if (written < 0 || (size_t)written >= sizeof(error->message))
        return;
    const size_t room = sizeof(error->message) - (size_t)written - 1;
    const size_t bytes = strnlen(sentence, room);
    memcpy(error->message + written, sentence, bytes);
    error->message[(size_t)written + bytes] = '\0';
}

void muster_error_shorten(char *text, size_t text_bytes, const char *sentence)
{
    static const char more[] = "...";
    size_t length = strlen(sentence);
    while (length > 0 && strchr(" \n", sentence[length - 1]) != NULL)
        length--;
    bool fits = length < text_bytes;
    if (!fits) {
        /* The last word that ends before the dots; where there is none, as much as there is room for. */
        size_t room = text_bytes > sizeof(more) ? text_bytes - sizeof(more) : 0;
        size_t end = room;
        while (end > 0 && strchr(" \n", sentence[end]) == NULL)
            end--;
        while (end > 0 && strchr(" \n,;:(", sentence[end - 1]) != NULL)
            end--;
        length = end > 0 ? end : room;
    }
    snprintf(text, text_bytes, "%.*s%s", (int)length, sentence, fits ? "" : more);
    for (char *line = strchr(text, '\n'); line != NULL; line = strchr(line, '\n'))
        *line = ' ';
}

void muster_error_copy(muster_error *error, const muster_error *from)
{
    if (!is_writable(error))
        return;
    const size_t struct_bytes = error->struct_bytes;
    *error = *from;
    error->struct_bytes = struct_bytes;
}

muster_status muster_error_set_ok(muster_error *error)
{
    if (is_writable(error))
        fill(error, MUSTER_OK, MUSTER_FIELD_NONE, 0, 0);
    return MUSTER_OK;
}
