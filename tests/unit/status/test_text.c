/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "status/text.h"

static void text_grows(void **state)
{
    (void)state;
    muster_text text = {0};
    for (int i = 0; i < 10000; i++)
        muster_text_add(&text, "%d;", i % 10);
    char *taken = muster_text_take(&text);
    assert_non_null(taken);
    assert_int_equal(strlen(taken), 20000);
    assert_int_equal(strncmp(taken + 19990, "5;6;7;8;9;", 10), 0);
    assert_null(text.bytes);
    free(taken);
}

static void no_text_is_an_empty_one(void **state)
{
    (void)state;
    muster_text text = {0};
    char *taken = muster_text_take(&text);
    assert_non_null(taken);
    assert_string_equal(taken, "");
    free(taken);
}

static void only_printable_utf8_is_left(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *clean;
    } cases[] = {
        {"plain <b>\"&\\", "plain <b>\"&\\"},
        {"\x1b[31m\r\n\t\x7f", "?[31m????"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"}, /* two letters of two bytes */
        {"\xe2\x82\xac \xf0\x9f\x98\x80", "\xe2\x82\xac \xf0\x9f\x98\x80"}, /* three, four */
        {"\xc2\x9b", "??"},                       /* a control of two bytes */
        {"\xc0\xaf \xe0\x80\xaf", "?? ???"},      /* longer than needed */
        {"\xed\xa0\x80", "???"},                  /* half of a pair */
        {"\xf4\x90\x80\x80 \xff\xfe", "???? ??"}, /* beyond the last */
        {"\xe2\x80\xae", "???"},                  /* turns what follows round */
        {"cut \xe2\x82", "cut ??"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char clean[64];
        assert_string_equal(muster_text_clean(cases[i].raw, clean, sizeof clean), cases[i].clean);
    }
}

static void what_is_too_long_is_cut_between_letters(void **state)
{
    (void)state;
    char clean[6];
    assert_string_equal(muster_text_clean("abcd\xe2\x82\xac", clean, sizeof clean), "abcd");
    assert_string_equal(muster_text_clean("abcdefgh", clean, sizeof clean), "abcde");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows),
        cmocka_unit_test(no_text_is_an_empty_one),
        cmocka_unit_test(only_printable_utf8_is_left),
        cmocka_unit_test(what_is_too_long_is_cut_between_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
