/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

/* The published values of XXH3: machines of one job must hash alike, whatever their vector units. */
static void values_are_those_of_xxh3(void **state)
{
    (void)state;
    assert_true(muster_hash_bytes("", 0, 0) == UINT64_C(0x2D06800538D394C2));
    assert_true(muster_hash_text("") == UINT64_C(0x2D06800538D394C2));
}

static void every_bit_and_the_seed_count(void **state)
{
    (void)state;
    unsigned char bytes[300];
    memset(bytes, 0, sizeof(bytes));
    const uint64_t plain = muster_hash_bytes(bytes, sizeof(bytes), 0);
    assert_true(muster_hash_bytes(bytes, sizeof(bytes), 1) != plain);
    assert_true(muster_hash_bytes(bytes, sizeof(bytes) - 1, 0) != plain);
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        assert_true(muster_hash_bytes(bytes, sizeof(bytes), 0) != plain);
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    assert_true(muster_hash_bytes(bytes, sizeof(bytes), 0) == plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_xxh3),
        cmocka_unit_test(every_bit_and_the_seed_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
