/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/error.h"

static void set_fills_everything_and_returns_the_status(void **state)
{
    (void)state;
    muster_error error;
    memset(&error, 0xa5, sizeof(error));
    muster_error_init(&error);
    assert_int_equal(error.status, MUSTER_OK);
    assert_int_equal(error.rank, -1);
    error.rank = 5;
    error.tensor_index = 7;
    error.native_code = 9;
    assert_int_equal(muster_error_set(&error, MUSTER_ERR_CAPACITY, MUSTER_FIELD_CAPACITY, 8, 3,
                                      "expected %d rows, came %d", 8, 3),
                     MUSTER_ERR_CAPACITY);
    assert_int_equal(error.struct_bytes, sizeof(error));
    assert_int_equal(error.status, MUSTER_ERR_CAPACITY);
    assert_int_equal(error.rank, -1);
    assert_int_equal(error.tensor_index, -1);
    assert_int_equal(error.native_code, 0);
    assert_int_equal(error.field, MUSTER_FIELD_CAPACITY);
    assert_int_equal(error.expected, 8);
    assert_int_equal(error.came, 3);
    assert_string_equal(error.message, "expected 8 rows, came 3");
    assert_int_equal(muster_error_set_ok(&error), MUSTER_OK);
    assert_int_equal(error.status, MUSTER_OK);
    assert_int_equal(error.field, MUSTER_FIELD_NONE);
    assert_string_equal(error.message, "");
}

static void no_error_wanted_is_fine(void **state)
{
    (void)state;
    assert_int_equal(muster_error_set(NULL, MUSTER_ERR_ROOT, MUSTER_FIELD_ROOT, 0, 1, "x"),
                     MUSTER_ERR_ROOT);
    assert_int_equal(muster_error_set_errno(NULL, EPERM, "x"), MUSTER_ERR_SYSTEM);
    assert_int_equal(muster_error_set_ok(NULL), MUSTER_OK);
    muster_error_prefix(NULL, "x");
    muster_error_init(NULL);
}

/* A caller built against a smaller struct, or that did not initialise: nothing may be written. */
static void a_struct_of_unknown_size_is_left_untouched(void **state)
{
    (void)state;
    muster_error error;
    memset(&error, 0x5a, sizeof(error));
    error.struct_bytes = sizeof(error) - 8;
    const muster_error before = error;
    assert_int_equal(muster_error_set(&error, MUSTER_ERR_ROOT, MUSTER_FIELD_ROOT, 0, 1, "x"),
                     MUSTER_ERR_ROOT);
    muster_error_prefix(&error, "y");
    muster_error_set_errno(&error, EPERM, "z");
    muster_error_set_ok(&error);
    assert_memory_equal(&error, &before, sizeof(error));
}

static void system_errors_carry_errno_and_its_text(void **state)
{
    (void)state;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_error_set_errno(&error, ENOENT, "open journal"), MUSTER_ERR_SYSTEM);
    assert_int_equal(error.native_code, ENOENT);
    assert_string_equal(error.message, "open journal: No such file or directory");
    assert_int_equal(muster_error_set_errno(&error, ENOMEM, "mmap"), MUSTER_ERR_NO_MEMORY);
    assert_int_equal(error.native_code, ENOMEM);
}

static void a_long_sentence_is_cut_and_a_prefix_stays_whole(void **state)
{
    (void)state;
    muster_error error;
    muster_error_init(&error);
    char text[600];
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    muster_error_set(&error, MUSTER_ERR_ROOT, MUSTER_FIELD_ROOT, 0, 1, "%s", text);
    assert_int_equal(strlen(error.message), MUSTER_ERROR_MESSAGE_BYTES - 1);
    muster_error_prefix(&error, "chunk %d: ", 12);
    assert_int_equal(strlen(error.message), MUSTER_ERROR_MESSAGE_BYTES - 1);
    assert_memory_equal(error.message, "chunk 12: aaa", 13);
    muster_error_prefix(&error, "%s", text);
    assert_int_equal(strlen(error.message), MUSTER_ERROR_MESSAGE_BYTES - 1);
}

static void a_prefix_goes_before_the_sentence(void **state)
{
    (void)state;
    muster_error error;
    muster_error_init(&error);
    muster_error_set(&error, MUSTER_ERR_DTYPE, MUSTER_FIELD_DTYPE, 1, 2, "expected %d", 1);
    muster_error_prefix(&error, "tensor %d: ", 3);
    assert_string_equal(error.message, "tensor 3: expected 1");
    assert_int_equal(error.status, MUSTER_ERR_DTYPE);
}

static void a_failed_assertion_ends_the_process_and_names_the_place(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        signal(SIGABRT, SIG_DFL);
        MUSTER_ASSERT(child != 0);
        _exit(0);
    }
    close(ends[1]);
    char text[1024];
    size_t count = 0;
    ssize_t got;
    while (count < sizeof(text) - 1 &&
           (got = read(ends[0], text + count, sizeof(text) - 1 - count)) > 0)
        count += (size_t)got;
    text[count] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "child != 0"));
    assert_non_null(strstr(text, "test_error.c"));
}

static void a_long_sentence_ends_with_a_word(void **state)
{
    (void)state;
    const struct {
        size_t bytes;
        const char *sentence;
        const char *short_one;
    } cases[] = {
        {13, "it fits so\n\n", "it fits so"},
        {12, "one two four", "one two..."},
        {13, "one two four", "one two four"},
        {12, "one two: three", "one two..."},
        {11, "one two: three", "one..."},
        {10, "one two: three", "one..."},
        {12, "one\ntwo three", "one two..."},
        {8, "oneword", "oneword"},
        {7, "oneword", "one..."},
        {4, "one two", "..."},
        {1, "one", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[16];
        memset(text, 'x', sizeof(text));
        muster_error_shorten(text, cases[i].bytes, cases[i].sentence);
        assert_string_equal(text, cases[i].short_one);
        assert_int_equal(text[cases[i].bytes], 'x');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_everything_and_returns_the_status),
        cmocka_unit_test(no_error_wanted_is_fine),
        cmocka_unit_test(a_struct_of_unknown_size_is_left_untouched),
        cmocka_unit_test(system_errors_carry_errno_and_its_text),
        cmocka_unit_test(a_long_sentence_is_cut_and_a_prefix_stays_whole),
        cmocka_unit_test(a_prefix_goes_before_the_sentence),
        cmocka_unit_test(a_failed_assertion_ends_the_process_and_names_the_place),
        cmocka_unit_test(a_long_sentence_ends_with_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
