/* SPDX-License-Identifier: Apache-2.0 */
/* Files as NCCL makes them in /dev/shm: removed where nobody has them any more, and nowhere else. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "transport/nccl/abandoned.h"

enum { FILE_BYTES = 4096 };

/* A folder of one's own, on the file system that NCCL uses. */
typedef struct place {
    char folder[32];
    char path[64];
    struct timespec since;
} place;

static void make_place(place *made)
{
    snprintf(made->folder, sizeof(made->folder), "%s/muster-test-XXXXXX",
             MUSTER_NCCL_ABANDONED_FOLDER);
    assert_non_null(mkdtemp(made->folder));
    clock_gettime(CLOCK_REALTIME_COARSE, &made->since);
}

static void remove_place(const place *made)
{
    (void)unlink(made->path);
    assert_int_equal(rmdir(made->folder), 0);
}

/* As NCCL's creator has it: open. */
static int make_file(place *in)
{
    snprintf(in->path, sizeof(in->path), "%s/nccl-XXXXXX", in->folder);
    const int file = mkstemp(in->path);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, FILE_BYTES), 0);
    return file;
}

static bool is_there(const place *in)
{
    struct stat found;
    return lstat(in->path, &found) == 0;
}

static bool stays(const place *in)
{
    muster_nccl_abandoned_remove(in->folder, &in->since);
    return is_there(in);
}

static void removed_where_nobody_has_it(void **state)
{
    place in;
    (void)state;
    make_place(&in);
    const int file = make_file(&in);
    assert_true(stays(&in));
    close(file);
    assert_false(stays(&in));
    remove_place(&in);
}

static void left_where_it_is_mapped(void **state)
{
    place in;
    (void)state;
    make_place(&in);
    const int file = make_file(&in);
    void *mapped = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert_ptr_not_equal(mapped, MAP_FAILED);
    close(file);
    assert_true(stays(&in));
    assert_int_equal(munmap(mapped, FILE_BYTES), 0);
    assert_false(stays(&in));
    remove_place(&in);
}

static void left_until_its_process_is_killed(void **state)
{
    place in;
    (void)state;
    make_place(&in);
    const int file = make_file(&in);
    const pid_t holder = fork();
    assert_true(holder >= 0);
    if (holder == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    close(file);
    assert_true(stays(&in));
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    assert_false(stays(&in));
    remove_place(&in);
}

static void left_where_it_is_older(void **state)
{
    place in;
    (void)state;
    make_place(&in);
    close(make_file(&in));
    in.since.tv_sec += 60;
    assert_true(stays(&in));
    in.since.tv_sec -= 60;
    assert_false(stays(&in));
    remove_place(&in);
}

static void left_where_it_has_only_just_been_made(void **state)
{
    place in;
    (void)state;
    make_place(&in);
    const int file = make_file(&in);
    assert_int_equal(ftruncate(file, 0), 0);
    close(file);
    assert_true(stays(&in));
    remove_place(&in);
}

static void left_where_it_is_something_else(void **state)
{
    static const char *const names[] = {"nccl-",       "nccl-abcde",  "nccl-abcdefg", "nccl-abc_ef",
                                        "NCCL-abcdef", "xnccl-abcde", "nccl.abcdef"};
    place in, elsewhere;
    (void)state;
    make_place(&in);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(in.path, sizeof(in.path), "%s/%s", in.folder, names[i]);
        const int file = open(in.path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        assert_true(file >= 0);
        assert_int_equal(ftruncate(file, FILE_BYTES), 0);
        close(file);
        assert_true(stays(&in));
        assert_int_equal(unlink(in.path), 0);
    }
    make_place(&elsewhere);
    close(make_file(&elsewhere));
    snprintf(in.path, sizeof(in.path), "%s/nccl-symbol", in.folder);
    assert_int_equal(symlink(elsewhere.path, in.path), 0);
    assert_true(stays(&in));
    assert_true(is_there(&elsewhere));
    remove_place(&in);
    remove_place(&elsewhere);
}

static void removed_with_the_epoch_and_with_the_device(void **state)
{
    fixture *f = *state;
    place in = {.folder = MUSTER_NCCL_ABANDONED_FOLDER};
    assert_int_equal(fixture_open(f), MUSTER_OK);
    const int file = make_file(&in);
    f->table->revoke(f->device, false);
    assert_int_equal(f->table->await_revoked(f->device, &f->error), MUSTER_OK);
    f->table->revive(f->device);
    assert_true(is_there(&in));
    close(file);
    f->table->revive(f->device);
    assert_false(is_there(&in));
    close(make_file(&in));
    fixture_close(f);
    assert_false(is_there(&in));
}

/* Some systems that only look like Linux grant none; and an administrator may have turned them off. */
static bool has_leases(void)
{
    char path[] = MUSTER_NCCL_ABANDONED_FOLDER "/muster-test-XXXXXX";
    const int file = mkstemp(path);
    const bool granted = file >= 0 && fcntl(file, F_SETLEASE, F_WRLCK) == 0;
    if (file >= 0) {
        (void)unlink(path);
        close(file);
    }
    return granted;
}

int main(void)
{
    if (!has_leases()) {
        printf("skip: no leases on files in " MUSTER_NCCL_ABANDONED_FOLDER
               " (/proc/sys/fs/leases-enable)\n");
        return 77;
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(removed_where_nobody_has_it),
        TEST(left_where_it_is_mapped),
        TEST(left_until_its_process_is_killed),
        TEST(left_where_it_is_older),
        TEST(left_where_it_has_only_just_been_made),
        TEST(left_where_it_is_something_else),
        TEST(removed_with_the_epoch_and_with_the_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
