/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "launcher/output.h"

static int drain(int fd, char *text, size_t capacity)
{
    size_t used = 0;
    ssize_t got;
    while (used < capacity && (got = read(fd, text + used, capacity - used)) > 0)
        used += (size_t)got;
    return (int)used;
}

static void what_is_put_comes_out_in_order(void **state)
{
    muster_output *output = *state;
    static char got[MUSTER_OUTPUT_BYTES];
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    muster_output_init(output, ends[1]);
    /* Many times round the ring, in pieces that do not divide it. */
    unsigned char next_in = 0;
    unsigned char next_out = 0;
    for (int round = 0; round < 200; round++) {
        char piece[3001];
        for (size_t i = 0; i < sizeof piece; i++)
            piece[i] = (char)next_in++;
        assert_true(muster_output_put(output, piece, sizeof piece));
        muster_output_flush(output);
        int count = drain(ends[0], got, sizeof got);
        for (int i = 0; i < count; i++)
            assert_int_equal((unsigned char)got[i], next_out++);
    }
    assert_int_equal(output->used, 0);
    assert_int_equal(next_in, next_out);
    close(ends[0]);
    close(ends[1]);
}

static void a_reader_that_does_not_read_stops_nothing(void **state)
{
    muster_output *output = *state;
    static char line[1000];
    int ends[2];
    size_t taken = 0;
    memset(line, 'y', sizeof line);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    muster_output_init(output, ends[1]);
    /* Would hang here if a flush waited. */
    while (muster_output_has_room(output, sizeof line)) {
        assert_true(muster_output_put(output, line, sizeof line));
        muster_output_flush(output);
        taken += sizeof line;
    }
    /* The launcher's own words still find room, up to the end; then they are dropped whole. */
    size_t reserve = 0;
    while (muster_output_put(output, line, sizeof line))
        reserve += sizeof line;
    assert_true(reserve >= MUSTER_OUTPUT_RESERVE_BYTES - 2 * sizeof line);
    static char got[2 * MUSTER_OUTPUT_BYTES];
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    size_t come = 0;
    for (int i = 0; i < 100 && come < taken + reserve; i++) {
        come += (size_t)drain(ends[0], got, sizeof got);
        muster_output_flush(output);
    }
    assert_int_equal(come, taken + reserve);
    close(ends[0]);
    close(ends[1]);
}

static void a_reader_that_is_gone_breaks_it(void **state)
{
    muster_output *output = *state;
    int ends[2];
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    muster_output_init(output, ends[1]);
    assert_true(muster_output_put(output, "x\n", 2));
    muster_output_flush(output);
    assert_true(output->broken);
    /* Everything is dropped from now on, and a rank's output is read all the same. */
    assert_true(muster_output_has_room(output, MUSTER_OUTPUT_BYTES));
    assert_true(muster_output_put(output, "x\n", 2));
    assert_int_equal(output->used, 0);
    close(ends[1]);
}

static int set_up(void **state)
{
    *state = calloc(1, sizeof(muster_output));
    return *state == NULL;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_put_comes_out_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_that_does_not_read_stops_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_reader_that_is_gone_breaks_it, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
