/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody is inside once it is refused and empty, however many try. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "transport/nccl/bracket.h"

static void enter_and_refuse(void **state)
{
    muster_nccl_bracket bracket;
    (void)state;
    muster_nccl_bracket_init(&bracket);
    assert_true(muster_nccl_bracket_is_empty(&bracket));
    assert_true(muster_nccl_bracket_enter(&bracket));
    assert_true(muster_nccl_bracket_enter(&bracket));
    assert_false(muster_nccl_bracket_is_empty(&bracket));
    muster_nccl_bracket_refuse(&bracket, MUSTER_NCCL_REVOKED);
    assert_true(muster_nccl_bracket_is_refused(&bracket));
    assert_false(muster_nccl_bracket_enter(&bracket));
    muster_nccl_bracket_leave(&bracket);
    assert_false(muster_nccl_bracket_is_empty(&bracket));
    muster_nccl_bracket_leave(&bracket);
    assert_true(muster_nccl_bracket_is_empty(&bracket));
}

static void a_shrink_enters_what_is_only_revoked(void **state)
{
    muster_nccl_bracket bracket;
    (void)state;
    muster_nccl_bracket_init(&bracket);
    muster_nccl_bracket_refuse(&bracket, MUSTER_NCCL_REVOKED);
    assert_false(muster_nccl_bracket_enter(&bracket));
    assert_true(muster_nccl_bracket_enter_revoked(&bracket));
    muster_nccl_bracket_leave(&bracket);
    muster_nccl_bracket_refuse(&bracket, MUSTER_NCCL_ENDING);
    assert_false(muster_nccl_bracket_enter_revoked(&bracket));
    assert_true(muster_nccl_bracket_is_empty(&bracket));
}

enum { THREADS = 4, ROUNDS = 200 };

typedef struct room {
    muster_nccl_bracket bracket;
    int guarded; /* no atomic: the thread sanitizer sees who comes too late */
    atomic_bool freed;
    atomic_int late;
    pthread_mutex_t one_at_a_time;
} room;

static void *visit(void *argument)
{
    room *r = argument;
    while (muster_nccl_bracket_enter(&r->bracket)) {
        if (atomic_load(&r->freed))
            atomic_fetch_add(&r->late, 1);
        pthread_mutex_lock(&r->one_at_a_time);
        r->guarded++;
        pthread_mutex_unlock(&r->one_at_a_time);
        muster_nccl_bracket_leave(&r->bracket);
    }
    return NULL;
}

static void nobody_is_inside_after_it(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        room r = {.one_at_a_time = PTHREAD_MUTEX_INITIALIZER};
        pthread_t threads[THREADS];
        muster_nccl_bracket_init(&r.bracket);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, visit, &r), 0);
        muster_nccl_bracket_refuse(&r.bracket, MUSTER_NCCL_ENDING);
        while (!muster_nccl_bracket_is_empty(&r.bracket))
            continue;
        r.guarded = -1;
        atomic_store(&r.freed, true);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(r.guarded, -1);
        assert_int_equal(atomic_load(&r.late), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enter_and_refuse),
        cmocka_unit_test(a_shrink_enters_what_is_only_revoked),
        cmocka_unit_test(nobody_is_inside_after_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
