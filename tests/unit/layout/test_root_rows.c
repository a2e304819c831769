/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layout/tensor.h"

/* Three ranks, root 1, float32 rows of 4: 16 bytes a row. */
#define SIZE 3
#define ROOT 1
#define FEATURES 4
#define ROW_BYTES ((size_t)16)

static _Alignas(16) unsigned char memory[4096];
static const int64_t lengths[SIZE] = {2, 3, 1};

typedef struct fixture {
    muster_tensor rows;
    muster_tensor contiguous;
    muster_tensor chunks[SIZE];
    muster_root_rows root_rows;
} fixture;

static muster_tensor tensor_at(size_t offset, int64_t rows)
{
    return muster_tensor_host(memory + offset, MUSTER_DTYPE_FLOAT32, rows, FEATURES);
}

static fixture contiguous_form(void)
{
    fixture f = {
        .rows = tensor_at(2048, lengths[ROOT]),
        .contiguous = tensor_at(0, 6),
        .root_rows = {.struct_bytes = sizeof(muster_root_rows)},
    };
    return f;
}

static fixture chunk_form(void)
{
    fixture f = contiguous_form();
    for (int32_t i = 0; i < SIZE; i++)
        f.chunks[i] = tensor_at((size_t)i * 256, lengths[i]);
    return f;
}

/* The pointers into the fixture are set here, since a fixture is handed over by value. */
static muster_status check_of(fixture *f, bool chunks, bool *in_place, muster_error *error)
{
    if (chunks) {
        f->root_rows.chunks = f->chunks;
        if (f->root_rows.chunk_count == 0)
            f->root_rows.chunk_count = SIZE;
    } else {
        f->root_rows.contiguous = &f->contiguous;
    }
    return muster_root_rows_check(&f->root_rows, &f->rows, lengths, SIZE, ROOT, false, in_place,
                                  error);
}

static void assert_taken(fixture f, bool chunks, bool expect_in_place)
{
    bool in_place = !expect_in_place;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(check_of(&f, chunks, &in_place, &error), MUSTER_OK);
    assert_int_equal(error.status, MUSTER_OK);
    assert_int_equal(in_place, expect_in_place);
    assert_int_equal(check_of(&f, chunks, NULL, NULL), MUSTER_OK);
}

static void assert_refused(fixture f, bool chunks, muster_status status, muster_field field,
                           int64_t expected, int64_t came, const char *words)
{
    bool in_place = true;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(check_of(&f, chunks, &in_place, &error), status);
    assert_int_equal(error.status, status);
    assert_int_equal(error.field, field);
    assert_int_equal(error.expected, expected);
    assert_int_equal(error.came, came);
    assert_int_equal(error.rank, -1);
    if (strstr(error.message, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    assert_false(in_place);
}

static void both_forms_are_taken(void **state)
{
    (void)state;
    assert_taken(contiguous_form(), false, false);
    assert_taken(chunk_form(), true, false);
    fixture roomy = contiguous_form();
    roomy.contiguous = tensor_at(0, 60);
    assert_taken(roomy, false, false);
}

static void in_place_is_exactly_its_place(void **state)
{
    (void)state;
    fixture f = contiguous_form();
    f.rows.data = memory + 2 * ROW_BYTES;
    assert_taken(f, false, true);
    f.rows.data = memory + 1 * ROW_BYTES;
    assert_refused(f, false, MUSTER_ERR_OVERLAP, MUSTER_FIELD_BUFFER, 32, 16, "in place");
    f.rows.data = memory + 5 * ROW_BYTES;
    assert_refused(f, false, MUSTER_ERR_OVERLAP, MUSTER_FIELD_BUFFER, 32, 80, "in place");
    f = chunk_form();
    f.rows.data = f.chunks[ROOT].data;
    assert_taken(f, true, true);
    f.rows.data = f.chunks[0].data;
    assert_refused(f, true, MUSTER_ERR_OVERLAP, MUSTER_FIELD_BUFFER, 0, 0, "overlap chunk 0");
    f.rows.data = (unsigned char *)f.chunks[ROOT].data + 4;
    assert_refused(f, true, MUSTER_ERR_OVERLAP, MUSTER_FIELD_BUFFER, 0, 1, "overlap chunk 1");
}

/* Room behind the sum of the lengths is never touched, so a rank's rows may lie in it. */
static void rows_in_the_unused_room_are_apart(void **state)
{
    (void)state;
    fixture f = contiguous_form();
    f.contiguous = tensor_at(0, 60);
    f.rows.data = memory + 6 * ROW_BYTES;
    assert_taken(f, false, false);
    f.rows.data = memory + 6 * ROW_BYTES - 4;
    assert_refused(f, false, MUSTER_ERR_OVERLAP, MUSTER_FIELD_BUFFER, 32, 92, "overlap");
}

static void one_form_exactly(void **state)
{
    (void)state;
    muster_error error;
    muster_error_init(&error);
    fixture f = chunk_form();
    assert_int_equal(
        muster_root_rows_check(NULL, &f.rows, lengths, SIZE, ROOT, false, NULL, &error),
        MUSTER_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "root_rows"));
    assert_int_equal(
        muster_root_rows_check(&f.root_rows, &f.rows, lengths, SIZE, ROOT, false, NULL, &error),
        MUSTER_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "neither"));
    f.root_rows.contiguous = &f.contiguous;
    f.root_rows.chunks = f.chunks;
    assert_int_equal(
        muster_root_rows_check(&f.root_rows, &f.rows, lengths, SIZE, ROOT, false, NULL, &error),
        MUSTER_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "both"));
    f = contiguous_form();
    f.root_rows.struct_bytes = 3;
    assert_refused(f, false, MUSTER_ERR_STRUCT_SIZE, MUSTER_FIELD_STRUCT_BYTES,
                   sizeof(muster_root_rows), 3, "struct_bytes");
}

static void a_contiguous_buffer_fits_or_is_refused(void **state)
{
    (void)state;
    fixture f = contiguous_form();
    f.contiguous.dimensions[0] = 5;
    assert_refused(f, false, MUSTER_ERR_CAPACITY, MUSTER_FIELD_CAPACITY, 6, 5,
                   "sum of the lengths");
    f = contiguous_form();
    f.contiguous.dtype = MUSTER_DTYPE_INT32;
    assert_refused(f, false, MUSTER_ERR_DTYPE, MUSTER_FIELD_DTYPE, MUSTER_DTYPE_FLOAT32,
                   MUSTER_DTYPE_INT32, "float32");
    f = contiguous_form();
    f.contiguous.dimensions[1] = 5;
    assert_refused(f, false, MUSTER_ERR_FEATURE_DIMENSIONS, MUSTER_FIELD_FEATURE_DIMENSION_1, 4, 5,
                   "dimensions[1]");
    f = contiguous_form();
    f.contiguous.dimension_count = 1;
    assert_refused(f, false, MUSTER_ERR_FEATURE_DIMENSIONS, MUSTER_FIELD_DIMENSION_COUNT, 2, 1,
                   "dimension_count");
    f = contiguous_form();
    f.contiguous.data = NULL;
    assert_refused(f, false, MUSTER_ERR_NULL_BUFFER, MUSTER_FIELD_BUFFER, 96, 0,
                   "contiguous buffer: data");
    f = contiguous_form();
    f.contiguous.data = memory + 2;
    assert_refused(f, false, MUSTER_ERR_MISALIGNED, MUSTER_FIELD_BUFFER, 4, 2,
                   "contiguous buffer: data");
}

static void missing_chunks_are_refused(void **state)
{
    (void)state;
    fixture f = chunk_form();
    f.root_rows.chunk_count = 2;
    assert_refused(f, true, MUSTER_ERR_MISSING_CHUNK, MUSTER_FIELD_CHUNK, 3, 2, "chunk_count");
    f.root_rows.chunk_count = 4;
    assert_refused(f, true, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_CHUNK, 3, 4, "chunk_count");
    f = chunk_form();
    f.chunks[2].data = NULL;
    assert_refused(f, true, MUSTER_ERR_MISSING_CHUNK, MUSTER_FIELD_CHUNK, 3, 2, "chunk 2");
    f = chunk_form();
    memset(&f.chunks[0], 0, sizeof(f.chunks[0]));
    assert_refused(f, true, MUSTER_ERR_MISSING_CHUNK, MUSTER_FIELD_CHUNK, 3, 0, "chunk 0");
}

static void chunks_of_another_shape_are_refused(void **state)
{
    (void)state;
    fixture f = chunk_form();
    f.chunks[2].dimensions[0] = 2;
    assert_refused(f, true, MUSTER_ERR_CHUNK_SHAPE, MUSTER_FIELD_CHUNK, 1, 2, "chunk 2");
    f = chunk_form();
    f.chunks[1].dimensions[1] = 8;
    assert_refused(f, true, MUSTER_ERR_CHUNK_SHAPE, MUSTER_FIELD_FEATURE_DIMENSION_1, 4, 8,
                   "chunk 1: dimensions[1]");
    f = chunk_form();
    f.chunks[1].dimension_count = 3;
    f.chunks[1].dimensions[2] = 1;
    assert_refused(f, true, MUSTER_ERR_CHUNK_SHAPE, MUSTER_FIELD_DIMENSION_COUNT, 2, 3, "chunk 1");
    f = chunk_form();
    f.chunks[1].dtype = MUSTER_DTYPE_UINT32;
    assert_refused(f, true, MUSTER_ERR_DTYPE, MUSTER_FIELD_DTYPE, MUSTER_DTYPE_FLOAT32,
                   MUSTER_DTYPE_UINT32, "chunk 1");
    f = chunk_form();
    f.chunks[0].struct_bytes = 16;
    assert_refused(f, true, MUSTER_ERR_STRUCT_SIZE, MUSTER_FIELD_STRUCT_BYTES,
                   sizeof(muster_tensor), 16, "chunk 0");
}

/* A chunk of no rows is a chunk: its features are checked, its buffer is not. */
static void a_chunk_of_no_rows_is_checked_too(void **state)
{
    (void)state;
    const int64_t ragged[SIZE] = {2, 3, 0};
    fixture f = chunk_form();
    f.chunks[2] = muster_tensor_host(NULL, MUSTER_DTYPE_FLOAT32, 0, FEATURES);
    f.root_rows.chunks = f.chunks;
    f.root_rows.chunk_count = SIZE;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(
        muster_root_rows_check(&f.root_rows, &f.rows, ragged, SIZE, ROOT, false, NULL, &error),
        MUSTER_OK);
    f.chunks[2].dimensions[1] = 3;
    assert_int_equal(
        muster_root_rows_check(&f.root_rows, &f.rows, ragged, SIZE, ROOT, false, NULL, &error),
        MUSTER_ERR_CHUNK_SHAPE);
    assert_int_equal(error.field, MUSTER_FIELD_FEATURE_DIMENSION_1);
    f.chunks[2] = tensor_at(1024, 1);
    assert_int_equal(
        muster_root_rows_check(&f.root_rows, &f.rows, ragged, SIZE, ROOT, false, NULL, &error),
        MUSTER_ERR_CHUNK_SHAPE);
    assert_int_equal(error.expected, 0);
    assert_int_equal(error.came, 1);
    /* It lies inside another one: no byte is shared. */
    f.chunks[2] = tensor_at(256 + 16, 0);
    assert_int_equal(
        muster_root_rows_check(&f.root_rows, &f.rows, ragged, SIZE, ROOT, false, NULL, &error),
        MUSTER_OK);
    memset(&f.chunks[2], 0, sizeof(f.chunks[2]));
    assert_int_equal(
        muster_root_rows_check(&f.root_rows, &f.rows, ragged, SIZE, ROOT, false, NULL, &error),
        MUSTER_ERR_MISSING_CHUNK);
}

static void overlapping_chunks_are_refused_in_any_order(void **state)
{
    (void)state;
    fixture f = chunk_form();
    f.chunks[2].data = (unsigned char *)f.chunks[0].data + ROW_BYTES;
    assert_refused(f, true, MUSTER_ERR_OVERLAP, MUSTER_FIELD_CHUNK, 0, 2, "chunks 0 and 2");
    f = chunk_form();
    f.chunks[0].data = f.chunks[1].data;
    assert_refused(f, true, MUSTER_ERR_OVERLAP, MUSTER_FIELD_CHUNK, 0, 1, "chunks 0 and 1");
    f = chunk_form();
    f.chunks[0] = tensor_at(1024, lengths[0]); /* out of order, but apart */
    assert_taken(f, true, false);
    f.rows.data = memory + 300;
    assert_refused(f, true, MUSTER_ERR_OVERLAP, MUSTER_FIELD_BUFFER, 0, 1, "overlap chunk 1");
    f.rows.data = memory + 512; /* touches chunk 2 */
    assert_refused(f, true, MUSTER_ERR_OVERLAP, MUSTER_FIELD_BUFFER, 0, 2, "overlap chunk 2");
}

static void many_chunks_backwards_are_compared_quickly(void **state)
{
    (void)state;
    const int32_t count = 16384;
    muster_tensor *chunks = calloc((size_t)count, sizeof(*chunks));
    int64_t *ones = calloc((size_t)count, sizeof(*ones));
    unsigned char *place = calloc((size_t)count + 1, 4);
    assert_true(chunks != NULL && ones != NULL && place != NULL);
    for (int32_t i = 0; i < count; i++) {
        ones[i] = 1;
        chunks[i] =
            muster_tensor_host(place + (size_t)(count - 1 - i) * 4, MUSTER_DTYPE_INT32, 1, 1);
    }
    const muster_tensor rows =
        muster_tensor_host(place + (size_t)count * 4, MUSTER_DTYPE_INT32, 1, 1);
    muster_root_rows root_rows = {
        .struct_bytes = sizeof(root_rows), .chunks = chunks, .chunk_count = count};
    for (int round = 0; round < 50; round++)
        assert_int_equal(
            muster_root_rows_check(&root_rows, &rows, ones, count, 0, false, NULL, NULL),
            MUSTER_OK);
    chunks[count - 1].data = chunks[7].data;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_root_rows_check(&root_rows, &rows, ones, count, 0, false, NULL, &error),
                     MUSTER_ERR_OVERLAP);
    assert_int_equal(error.expected, 7);
    assert_int_equal(error.came, count - 1);
    free(chunks);
    free(ones);
    free(place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_are_taken),
        cmocka_unit_test(in_place_is_exactly_its_place),
        cmocka_unit_test(rows_in_the_unused_room_are_apart),
        cmocka_unit_test(one_form_exactly),
        cmocka_unit_test(a_contiguous_buffer_fits_or_is_refused),
        cmocka_unit_test(missing_chunks_are_refused),
        cmocka_unit_test(chunks_of_another_shape_are_refused),
        cmocka_unit_test(a_chunk_of_no_rows_is_checked_too),
        cmocka_unit_test(overlapping_chunks_are_refused_in_any_order),
        cmocka_unit_test(many_chunks_backwards_are_compared_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
