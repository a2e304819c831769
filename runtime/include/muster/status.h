/* SPDX-License-Identifier: Apache-2.0 */
/* Status codes: one list, each row with its text and its advice.
 *
 * Every function that can fail returns a muster_status. There is no last-error state: the detail of
 * an error goes into the muster_error that the caller hands in (or NULL for none). */
#ifndef MUSTER_STATUS_H
#define MUSTER_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>

MUSTER_BEGIN_DECLS

/* What to do about a status. */
typedef enum muster_advice {
    MUSTER_ADVICE_NONE = 0, /* nothing to do: the call succeeded */
    MUSTER_ADVICE_FIX_CALL =
        1,                     /* the call is wrong; the same call fails again. Nothing was moved */
    MUSTER_ADVICE_RETRY = 2,   /* the same call may succeed later */
    MUSTER_ADVICE_RECOVER = 3, /* call muster_comm_rebuild, then go on from the restore point */
    MUSTER_ADVICE_GIVE_UP = 4  /* this process cannot go on in this job */
} muster_advice;

/* X(name, value, advice, text). Values are stable: they appear in traces and on the wire. */
#define MUSTER_STATUS_LIST(X) \
    X(OK, 0, NONE, "success") \
    /* refused before a byte moved: the caller's mistakes */ \
    X(ERR_INVALID_ARGUMENT, 1, FIX_CALL, "an argument is outside what the function accepts") \
    X(ERR_NULL_BUFFER, 2, FIX_CALL, "a buffer with rows in it is NULL") \
    X(ERR_MISALIGNED, 3, FIX_CALL, "a buffer is not aligned to the size of its dtype") \
    X(ERR_OVERLAP, 4, FIX_CALL, "two buffers of the call overlap and are not the in-place form") \
    X(ERR_NOT_CONTIGUOUS, 5, FIX_CALL, "a tensor is not contiguous in row-major order") \
    X(ERR_MEMORY_KIND, 6, FIX_CALL, "a buffer lies in memory that this communicator cannot move") \
    X(ERR_LENGTHS_COUNT, 7, FIX_CALL, "the number of lengths is not the number of ranks") \
    X(ERR_NEGATIVE_LENGTH, 8, FIX_CALL, "a length is negative") \
    X(ERR_OVERFLOW, 9, FIX_CALL, "a count of rows or bytes overflows 64 bits") \
    X(ERR_OWN_ROWS, 10, FIX_CALL, "this rank's rows are not what its entry in the lengths says") \
    X(ERR_MISSING_CHUNK, 11, FIX_CALL, "the root has no chunk for a rank") \
    X(ERR_CHUNK_SHAPE, 12, FIX_CALL, "a chunk on the root has the wrong shape") \
    X(ERR_CAPACITY, 13, FIX_CALL, "the root's buffer has too few rows for the sum of the lengths") \
    X(ERR_DTYPE, 14, FIX_CALL, "the dtype differs, or its value is none") \
    X(ERR_FEATURE_DIMENSIONS, 15, FIX_CALL, "ranks disagree on the feature dimensions") \
    X(ERR_ROOT, 16, FIX_CALL, "ranks disagree on the root, or the root is not a rank") \
    X(ERR_CALL, 17, FIX_CALL, "ranks are in different calls") \
    X(ERR_SEQUENCE, 18, FIX_CALL, "ranks are at different calls of the communicator's sequence") \
    X(ERR_PHASE, 19, FIX_CALL, "ranks are in different checkpoint phases") \
    X(ERR_EPOCH, 20, FIX_CALL, "ranks, or a handle, belong to different epochs") \
    X(ERR_SCOPE, 21, FIX_CALL, "a scope was entered or left by only some of the ranks") \
    X(ERR_LENGTHS, 22, FIX_CALL, "ranks were given different lengths") \
    X(ERR_TAG, 23, FIX_CALL, "ranks carry different user tags") \
    X(ERR_P2P_MISMATCH, 24, FIX_CALL, "a send of the P2P batch has no matching receive") \
    X(ERR_UNBALANCED, 25, FIX_CALL, "a scope or phase is left that is not the innermost one") \
    X(ERR_SCOPE_OVERLAP, 26, FIX_CALL, "a parameter is already gathered by an enclosing scope") \
    X(ERR_TENSOR_COUNT, 27, FIX_CALL, "ranks have different numbers of tensors in the batch") \
    X(ERR_STRUCT_SIZE, 28, FIX_CALL, "a struct's struct_bytes is not a size this library knows") \
    X(ERR_IN_FLIGHT, 29, FIX_CALL, "calls are still in flight") \
    X(ERR_FORKED, 30, FIX_CALL, "a handle of the parent is used in a forked child") \
    X(ERR_STEP, 31, FIX_CALL, "ranks commit different steps, or a step that is not the next one") \
    X(ERR_FOREIGN, 32, FIX_CALL, "a handle belongs to another job or communicator") \
    X(ERR_MODIFIER, 33, FIX_CALL, "ranks disagree on the modifier of a gathered scope") \
    X(ERR_DIMENSIONS, 34, FIX_CALL, "a tensor's number or size of dimensions is not usable") \
    X(ERR_CALLS_DIFFER, 35, FIX_CALL, "every rank waits, but in different calls") \
    X(ERR_UNSUPPORTED, 36, FIX_CALL, "this build or machine cannot do what was asked") \
    X(ERR_ENVIRONMENT, 37, FIX_CALL, "an environment variable is missing or unusable") \
    X(ERR_STEP_STATE, 38, FIX_CALL, "the step state of a slot does not fit or is not held") \
    X(ERR_NO_DEVICE_PLANE, 39, FIX_CALL, "the job was joined without a device plane") \
    X(ERR_WRONG_DEVICE, 40, FIX_CALL, "memory is not on the device of this rank") \
    X(ERR_STREAM, 41, FIX_CALL, "the stream is being captured, or is of another device") \
    X(ERR_BORROWED, 42, FIX_CALL, "the native communicator is lent out, or was not borrowed") \
    /* operating errors */ \
    X(ERR_TIMEOUT, 64, RETRY, "the deadline passed") \
    X(ERR_RANK_LOST, 65, RECOVER, "a rank of this epoch was lost") \
    X(ERR_COMM_FAILED, 66, RECOVER, "the communicator failed earlier and refuses calls") \
    X(ERR_FENCED, 67, GIVE_UP, "this incarnation was declared dead and its slot given away") \
    X(ERR_NO_COORDINATOR, 68, RETRY, "the coordinator does not answer") \
    X(ERR_SLOT_TAKEN, 69, GIVE_UP, "another process fills this slot") \
    X(ERR_VERSION, 70, GIVE_UP, "the other side speaks another version") \
    X(ERR_NO_MEMORY, 71, RETRY, "memory ran out") \
    X(ERR_SYSTEM, 72, GIVE_UP, "a system call failed") \
    X(ERR_GAVE_UP, 73, GIVE_UP, "the job cannot be formed again under its rules") \
    X(ERR_STATE_LOST, 74, RECOVER, \
      "no copy of a lost slot's step state survives; load a checkpoint") \
    X(ERR_LEFT, 75, GIVE_UP, "this rank has left the job") \
    X(ERR_NO_DEVICE, 76, GIVE_UP, "there is no device of the plane's kind") \
    X(ERR_DRIVER, 77, GIVE_UP, "the device's driver is missing or too old") \
    X(ERR_LIBRARY, 78, GIVE_UP, "a library of the device plane is missing or refused") \
    X(ERR_DEVICE_CALL, 79, RECOVER, "a call of the device plane's libraries failed") \
    X(ERR_DEVICE_STUCK, 80, GIVE_UP, \
      "the device plane did not let go in time; end this process and start another")

typedef enum muster_status {
#define MUSTER_STATUS_ENUM(name, value, advice, text) MUSTER_##name = (value),
    MUSTER_STATUS_LIST(MUSTER_STATUS_ENUM)
#undef MUSTER_STATUS_ENUM
} muster_status;

/* Which field of a call an error is about. X(name, value, text). */
#define MUSTER_FIELD_LIST(X) \
    X(NONE, 0, "none") \
    X(WIRE_VERSION, 1, "wire version") \
    X(JOB, 2, "job") \
    X(COMMUNICATOR, 3, "communicator") \
    X(EPOCH, 4, "epoch") \
    X(SEQUENCE, 5, "sequence") \
    X(CALL, 6, "call") \
    X(ROOT, 7, "root") \
    X(PHASE, 8, "phase") \
    X(TAG, 9, "tag") \
    X(DTYPE, 10, "dtype") \
    X(DIMENSION_COUNT, 11, "number of dimensions") \
    X(FEATURE_DIMENSION_1, 12, "feature dimension 1") \
    X(FEATURE_DIMENSION_2, 13, "feature dimension 2") \
    X(FEATURE_DIMENSION_3, 14, "feature dimension 3") \
    X(FEATURE_DIMENSION_4, 15, "feature dimension 4") \
    X(FEATURE_DIMENSION_5, 16, "feature dimension 5") \
    X(FEATURE_DIMENSION_6, 17, "feature dimension 6") \
    X(FEATURE_DIMENSION_7, 18, "feature dimension 7") \
    X(OWN_ROWS, 19, "own rows") \
    X(LENGTHS, 20, "lengths") \
    X(LENGTHS_COUNT, 21, "number of lengths") \
    X(CAPACITY, 22, "capacity in rows") \
    X(BUFFER, 23, "buffer") \
    X(CHUNK, 24, "chunk") \
    X(TENSOR_COUNT, 25, "number of tensors") \
    X(DESCRIPTORS, 26, "tensor descriptors") \
    X(PEER, 27, "peer") \
    X(BYTES, 28, "bytes") \
    X(MODIFIER, 29, "modifier rank") \
    X(STEP, 30, "step") \
    X(STRUCT_BYTES, 31, "struct_bytes") \
    X(ARGUMENT, 32, "argument") \
    X(SLOT, 33, "slot") \
    X(TIMEOUT, 34, "timeout") \
    X(OPTION, 35, "option") \
    X(MEMORY_KIND, 36, "kind of memory") \
    X(DEVICE, 37, "device")

typedef enum muster_field {
#define MUSTER_FIELD_ENUM(name, value, text) MUSTER_FIELD_##name = (value),
    MUSTER_FIELD_LIST(MUSTER_FIELD_ENUM)
#undef MUSTER_FIELD_ENUM
} muster_field;

#define MUSTER_ERROR_MESSAGE_BYTES 256

/* The detail of an error. The caller owns it, sets struct_bytes (muster_error_init does), and may
 * pass the same one to many calls; a call that fails overwrites it, a call that succeeds leaves
 * status = MUSTER_OK in it. */
typedef struct muster_error {
    size_t struct_bytes;
    muster_status status;
    int32_t rank;         /* lowest failing rank of the communicator; -1 where no rank is meant */
    int32_t tensor_index; /* tensor of a batch; -1 where none is meant */
    muster_field field;   /* what disagreed */
    int64_t expected;     /* the value of the lowest rank, or the bound */
    int64_t came;         /* the value that came */
    int32_t native_code;  /* errno, or the transport library's own code; 0 where none */
    char message[MUSTER_ERROR_MESSAGE_BYTES]; /* one sentence: what, expected, came, what to do */
} muster_error;

/* Prepares *error (which may be uninitialised) for use. Any thread; does not block. */
MUSTER_API void muster_error_init(muster_error *error);

/* Text of a status, one clause, static storage, never NULL (an unknown value gives "unknown
 * status"). Any thread; does not block. */
MUSTER_API const char *muster_status_text(muster_status status);

/* Name as written in C, e.g. "MUSTER_ERR_RANK_LOST"; static storage, never NULL. */
MUSTER_API const char *muster_status_name(muster_status status);

/* What to do about it. An unknown value gives MUSTER_ADVICE_GIVE_UP. */
MUSTER_API muster_advice muster_status_advice(muster_status status);

/* One clause for an advice: "fix the call", "retry", "recover", "give up"; static storage. */
MUSTER_API const char *muster_advice_text(muster_advice advice);

/* Text of a field; static storage, never NULL. */
MUSTER_API const char *muster_field_text(muster_field field);

MUSTER_END_DECLS

#endif
