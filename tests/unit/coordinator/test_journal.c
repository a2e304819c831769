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
#include <sys/wait.h>
#include <unistd.h>

#include "coordinator/journal.h"

typedef struct place {
    char folder[64];
    char path[80];
} place;

static int set_up(void **state)
{
    place *made = calloc(1, sizeof *made);
    snprintf(made->folder, sizeof made->folder, "/tmp/muster-journal-XXXXXX");
    assert_non_null(mkdtemp(made->folder));
    snprintf(made->path, sizeof made->path, "%s/journal", made->folder);
    *state = made;
    return 0;
}

static int tear_down(void **state)
{
    place *made = *state;
    unlink(made->path);
    /* Nothing but the journal was left in the folder. */
    assert_int_equal(rmdir(made->folder), 0);
    free(made);
    return 0;
}

static void every_start_takes_a_higher_term(void **state)
{
    const place *made = *state;
    uint64_t last = 0;
    for (uint64_t floor = 10; floor < 13; floor++) {
        muster_journal journal;
        assert_int_equal(muster_journal_open(&journal, made->path, false, 11, NULL), MUSTER_OK);
        assert_true(journal.content.term > last);
        assert_true(journal.content.term >= 11);
        last = journal.content.term;
        muster_journal_close(&journal);
    }
    /* A wall clock that is far ahead counts, one that went back does not. */
    muster_journal journal;
    assert_int_equal(muster_journal_open(&journal, made->path, false, 1000, NULL), MUSTER_OK);
    assert_int_equal(journal.content.term, 1000);
    muster_journal_close(&journal);
    assert_int_equal(muster_journal_open(&journal, made->path, false, 5, NULL), MUSTER_OK);
    assert_int_equal(journal.content.term, 1001);
    assert_int_equal(muster_journal_raise_term(&journal, NULL), MUSTER_OK);
    muster_journal_close(&journal);
    assert_int_equal(muster_journal_open(&journal, made->path, false, 5, NULL), MUSTER_OK);
    assert_int_equal(journal.content.term, 1003);
    muster_journal_close(&journal);
}

static void jobs_survive(void **state)
{
    const place *made = *state;
    muster_journal journal;
    assert_int_equal(muster_journal_open(&journal, made->path, false, 1, NULL), MUSTER_OK);
    assert_int_equal(muster_journal_put(&journal, 7, "train", strdup("abc"), 3, NULL), MUSTER_OK);
    assert_int_equal(muster_journal_put(&journal, 8, "other", strdup("de"), 2, NULL), MUSTER_OK);
    assert_int_equal(muster_journal_remove(&journal, 8, NULL), MUSTER_OK);
    muster_journal_close(&journal);
    assert_int_equal(muster_journal_open(&journal, made->path, false, 1, NULL), MUSTER_OK);
    assert_int_equal(journal.content.count, 1);
    assert_memory_equal(muster_journal_content_find(&journal.content, 7)->state, "abc", 3);
    muster_journal_close(&journal);
}

static void a_second_holder_is_refused(void **state)
{
    const place *made = *state;
    muster_journal first;
    muster_journal second;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_journal_open(&first, made->path, false, 1, NULL), MUSTER_OK);
    assert_int_equal(muster_journal_open(&second, made->path, false, 1, &error),
                     MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "held by another coordinator"));
    /* Also after the file was replaced: the lock goes with the name. */
    assert_int_equal(muster_journal_put(&first, 7, "train", strdup("abc"), 3, NULL), MUSTER_OK);
    assert_int_equal(muster_journal_open(&second, made->path, false, 1, &error),
                     MUSTER_ERR_ENVIRONMENT);
    muster_journal_close(&first);
    assert_int_equal(muster_journal_open(&second, made->path, false, 1, &error), MUSTER_OK);
    muster_journal_close(&second);
}

static void a_damaged_one_is_refused_and_kept(void **state)
{
    const place *made = *state;
    muster_journal journal;
    muster_error error;
    char before[256];
    char after[256];
    muster_error_init(&error);
    assert_int_equal(muster_journal_open(&journal, made->path, false, 1, NULL), MUSTER_OK);
    assert_int_equal(muster_journal_put(&journal, 7, "train", strdup("abc"), 3, NULL), MUSTER_OK);
    muster_journal_close(&journal);

    int fd = open(made->path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "?", 1, 50), 1);
    ssize_t length = pread(fd, before, sizeof before, 0);
    assert_int_equal(muster_journal_open(&journal, made->path, false, 1, &error),
                     MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "at offset"));
    assert_non_null(strstr(error.message, "checksum"));
    assert_non_null(strstr(error.message, made->path));
    assert_int_equal(pread(fd, after, sizeof after, 0), length);
    assert_memory_equal(before, after, (size_t)length);

    assert_int_equal(ftruncate(fd, 20), 0);
    assert_int_equal(muster_journal_open(&journal, made->path, false, 1, &error),
                     MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "at offset 20"));
    /* An empty file is a new journal: a user may have made it. */
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(muster_journal_open(&journal, made->path, false, 1, &error), MUSTER_OK);
    muster_journal_close(&journal);
    close(fd);
}

static void a_place_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    muster_journal journal;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(muster_journal_open(&journal, "/nowhere/at/all/journal", false, 1, &error),
                     MUSTER_ERR_SYSTEM);
    assert_non_null(strstr(error.message, "/nowhere/at/all/journal"));
    assert_int_equal(muster_journal_open(&journal, "/tmp", false, 1, &error), MUSTER_ERR_SYSTEM);
}

/* A writer that is killed at any moment leaves the old journal or the new one, never a mixture. */
static void a_killed_writer_leaves_a_whole_one(void **state)
{
    const place *made = *state;
    for (int round = 0; round < 20; round++) {
        pid_t writer = fork();
        if (writer == 0) {
            muster_journal journal;
            if (muster_journal_open(&journal, made->path, round % 2 == 1, 1, NULL) != MUSTER_OK)
                _exit(1);
            for (uint64_t i = 0;; i++) {
                size_t bytes = 1000 + i % 5000;
                char *text = malloc(bytes);
                memset(text, (int)('a' + i % 26), bytes);
                if (muster_journal_put(&journal, 7, "train", text, bytes, NULL) != MUSTER_OK)
                    _exit(1);
            }
        }
        usleep(2000 + 700 * (unsigned)round);
        int status = 0;
        kill(writer, SIGKILL);
        assert_int_equal(waitpid(writer, &status, 0), writer);
        assert_true(WIFSIGNALED(status));
        muster_journal journal;
        muster_error error;
        muster_error_init(&error);
        assert_int_equal(muster_journal_open(&journal, made->path, false, 1, &error), MUSTER_OK);
        muster_journal_entry *entry = muster_journal_content_find(&journal.content, 7);
        if (entry != NULL) {
            const char *text = entry->state;
            for (uint32_t i = 1; i < entry->state_bytes; i++)
                assert_int_equal(text[i], text[0]);
        }
        muster_journal_close(&journal);
    }
    char left[96];
    snprintf(left, sizeof left, "%s.new", made->path);
    unlink(left);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_start_takes_a_higher_term, set_up, tear_down),
        cmocka_unit_test_setup_teardown(jobs_survive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_second_holder_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_one_is_refused_and_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_killed_writer_leaves_a_whole_one, set_up, tear_down),
        cmocka_unit_test(a_place_that_cannot_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
