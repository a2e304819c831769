/* SPDX-License-Identifier: Apache-2.0 */
/* Filling a muster_error: the one place where the sentence of an error is written.
 *
 * Everywhere here error may be NULL, and one whose struct_bytes is smaller than this library's struct
 * (a caller that did not call muster_error_init) is left untouched: writing into it could overwrite
 * what lies behind it. */
#ifndef MUSTER_BASE_ERROR_H
#define MUSTER_BASE_ERROR_H

#include <muster/status.h>
#include <muster/types.h>

/* Sets status, rank -1, tensor_index -1, field, values and a printf-formatted sentence. Returns
 * status, so that "return muster_error_set(...)" reads well. */
muster_status muster_error_set(muster_error *error, muster_status status, muster_field field,
                               int64_t expected, int64_t came, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* As above for a system call: status MUSTER_ERR_SYSTEM (or NO_MEMORY for ENOMEM), native_code =
 * errno_value, the sentence is "<what>: <strerror>". */
muster_status muster_error_set_errno(muster_error *error, int errno_value, const char *what);

/* Puts words before the sentence that is there: "chunk 3: ". */
void muster_error_prefix(muster_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A sentence of somebody else's for text, which has room for text_bytes: in one line, and where it does not fit, up to the
 * end of a word, and then "...". */
void muster_error_shorten(char *text, size_t text_bytes, const char *sentence);

/* Fills error with what `from` says. */
void muster_error_copy(muster_error *error, const muster_error *from);

/* error says success. Returns MUSTER_OK. */
muster_status muster_error_set_ok(muster_error *error);

#endif
