/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "launcher/prefix.h"

typedef struct lines {
    char text[64 * 1024];
    size_t used;
    size_t count;
    size_t longest;
} lines;

static void take(void *context, const char *text, size_t bytes)
{
    lines *to = context;
    assert_true(to->used + bytes < sizeof to->text);
    assert_int_equal(text[bytes - 1], '\n');
    memcpy(to->text + to->used, text, bytes);
    to->used += bytes;
    to->text[to->used] = '\0';
    to->count++;
    if (bytes > to->longest)
        to->longest = bytes;
}

static void feed(muster_prefix *prefix, lines *to, const char *text)
{
    muster_prefix_feed(prefix, text, strlen(text), take, to);
}

static void lines_get_their_label(void **state)
{
    (void)state;
    muster_prefix prefix = {0};
    lines to = {0};
    muster_prefix_set_label(&prefix, 12, 3);
    feed(&prefix, &to, "one\ntwo\n\nthr");
    assert_string_equal(to.text, "[12.3] one\n[12.3] two\n[12.3] \n");
    feed(&prefix, &to, "ee");
    assert_int_equal(to.count, 3);
    feed(&prefix, &to, "\n");
    assert_string_equal(to.text, "[12.3] one\n[12.3] two\n[12.3] \n[12.3] three\n");
    muster_prefix_finish(&prefix, take, &to);
    assert_int_equal(to.count, 4);
}

static void a_last_line_without_end_gets_one(void **state)
{
    (void)state;
    muster_prefix prefix = {0};
    lines to = {0};
    muster_prefix_set_label(&prefix, 0, 0);
    feed(&prefix, &to, "no end");
    muster_prefix_finish(&prefix, take, &to);
    muster_prefix_finish(&prefix, take, &to);
    assert_string_equal(to.text, "[0.0] no end\n");
}

static void any_cut_gives_the_same_lines(void **state)
{
    (void)state;
    static const char text[] = "alpha\n\nbeta gamma\ndelta";
    const size_t length = sizeof text - 1;
    for (size_t cut = 0; cut <= length; cut++) {
        for (size_t second = cut; second <= length; second++) {
            muster_prefix prefix = {0};
            lines to = {0};
            muster_prefix_set_label(&prefix, 1, 0);
            muster_prefix_feed(&prefix, text, cut, take, &to);
            muster_prefix_feed(&prefix, text + cut, second - cut, take, &to);
            muster_prefix_feed(&prefix, text + second, length - second, take, &to);
            muster_prefix_finish(&prefix, take, &to);
            assert_string_equal(to.text, "[1.0] alpha\n[1.0] \n[1.0] beta gamma\n[1.0] delta\n");
        }
    }
}

static void a_long_line_comes_in_bounded_pieces(void **state)
{
    (void)state;
    muster_prefix prefix = {0};
    lines to = {0};
    char text[3 * MUSTER_PREFIX_PIECE_BYTES + 10];
    memset(text, 'x', sizeof text);
    muster_prefix_set_label(&prefix, 2147483647, 4294967295u);
    muster_prefix_feed(&prefix, text, sizeof text, take, &to);
    feed(&prefix, &to, "\n");
    assert_int_equal(to.count, 4);
    assert_true(to.longest <= 4096);
    size_t seen = 0;
    for (size_t i = 0; i < to.used; i++)
        seen += to.text[i] == 'x';
    assert_int_equal(seen, sizeof text);
    /* Exactly one piece: its end brings no empty line. */
    to = (lines){0};
    muster_prefix_feed(&prefix, text, MUSTER_PREFIX_PIECE_BYTES, take, &to);
    assert_int_equal(to.count, 0);
    feed(&prefix, &to, "\n");
    assert_int_equal(to.count, 1);
}

static void a_spare_that_takes_a_slot_changes_its_label(void **state)
{
    (void)state;
    muster_prefix prefix = {0};
    lines to = {0};
    muster_prefix_set_label(&prefix, -2, 0);
    feed(&prefix, &to, "waiting\nhalf ");
    muster_prefix_set_label(&prefix, 3, 1);
    feed(&prefix, &to, "a line\n");
    assert_string_equal(to.text, "[spare] waiting\n[3.1] half a line\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_get_their_label),
        cmocka_unit_test(a_last_line_without_end_gets_one),
        cmocka_unit_test(any_cut_gives_the_same_lines),
        cmocka_unit_test(a_long_line_comes_in_bounded_pieces),
        cmocka_unit_test(a_spare_that_takes_a_slot_changes_its_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
