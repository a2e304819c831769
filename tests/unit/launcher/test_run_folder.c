/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/run_folder.h"

static int set_up(void **state)
{
    char *base = strdup("/tmp/muster-base-XXXXXX");
    assert_non_null(mkdtemp(base));
    setenv("XDG_RUNTIME_DIR", base, 1);
    *state = base;
    return 0;
}

static int tear_down(void **state)
{
    /* Nothing was left in it. */
    assert_int_equal(rmdir(*state), 0);
    free(*state);
    return 0;
}

static void it_is_ours_alone_and_goes_with_its_files(void **state)
{
    muster_run_folder folder;
    struct stat facts;
    char path[128];
    assert_int_equal(muster_run_folder_make(&folder, NULL), MUSTER_OK);
    assert_int_equal(strncmp(folder.path, *state, strlen(*state)), 0);
    assert_int_equal(stat(folder.path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    snprintf(path, sizeof path, "%s/journal", folder.path);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    snprintf(path, sizeof path, "%s", folder.path);
    muster_run_folder_remove(&folder);
    assert_int_not_equal(stat(path, &facts), 0);
    muster_run_folder_remove(&folder); /* once is enough */
}

static void a_dead_launchers_folder_is_removed_by_the_next(void **state)
{
    (void)state;
    int ready[2];
    char dead[MUSTER_RUN_FOLDER_BYTES] = "";
    struct stat facts;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t launcher = fork();
    if (launcher == 0) {
        muster_run_folder folder;
        if (muster_run_folder_make(&folder, NULL) != MUSTER_OK ||
            write(ready[1], folder.path, sizeof folder.path) < 0)
            _exit(1);
        pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], dead, sizeof dead), sizeof dead);
    close(ready[0]);
    /* As long as it lives, its folder stays. */
    muster_run_folder mine;
    assert_int_equal(muster_run_folder_make(&mine, NULL), MUSTER_OK);
    assert_int_equal(stat(dead, &facts), 0);
    muster_run_folder_remove(&mine);
    kill(launcher, SIGKILL);
    waitpid(launcher, NULL, 0);
    assert_int_equal(stat(dead, &facts), 0);
    assert_int_equal(muster_run_folder_make(&mine, NULL), MUSTER_OK);
    assert_int_not_equal(stat(dead, &facts), 0);
    muster_run_folder_remove(&mine);
}

static void others_folders_are_left_alone(void **state)
{
    char other[128];
    struct stat facts;
    snprintf(other, sizeof other, "%s/something-else", (char *)*state);
    assert_int_equal(mkdir(other, 0700), 0);
    muster_run_folder_sweep(*state);
    assert_int_equal(stat(other, &facts), 0);
    rmdir(other);
}

static void a_place_that_cannot_be_used_is_passed_over(void **state)
{
    muster_run_folder folder;
    char too_long[200] = "/tmp/";
    memset(too_long + 5, 'x', 150);
    setenv("XDG_RUNTIME_DIR", too_long, 1);
    assert_int_equal(muster_run_folder_make(&folder, NULL), MUSTER_OK);
    assert_int_equal(strncmp(folder.path, "/tmp/muster-run-", 16), 0);
    muster_run_folder_remove(&folder);
    setenv("XDG_RUNTIME_DIR", "/nowhere/at/all", 1);
    assert_int_equal(muster_run_folder_make(&folder, NULL), MUSTER_OK);
    assert_int_equal(strncmp(folder.path, "/tmp/muster-run-", 16), 0);
    muster_run_folder_remove(&folder);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_ours_alone_and_goes_with_its_files, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_dead_launchers_folder_is_removed_by_the_next, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(others_folders_are_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_place_that_cannot_be_used_is_passed_over, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
