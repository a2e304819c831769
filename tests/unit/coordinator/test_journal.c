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

#include "coordinator/journal.h"

typedef struct place {
    char folder[64];
    char path[80];
} place;

static muster_status open_at(muster_journal *journal, const char *path, bool no_sync,
                             uint64_t term_floor, muster_error *error)
{
    const muster_journal_options options = {
        .path = path, .no_sync = no_sync, .term_floor = term_floor};
    return muster_journal_open(journal, &options, error);
}

/* Takes core over. */
static muster_status put(muster_journal *journal, uint64_t job, const char *name, char *core,
                         size_t core_bytes)
{
    muster_journal_state state = {.core = core, .core_bytes = core_bytes};
    return muster_journal_put(journal, job, name, &state, NULL);
}

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
        assert_int_equal(open_at(&journal, made->path, false, 11, NULL), MUSTER_OK);
        assert_true(journal.content.term > last);
        assert_true(journal.content.term >= 11);
        last = journal.content.term;
        muster_journal_close(&journal);
    }
    /* A wall clock that is far ahead counts, one that went back does not. */
    muster_journal journal;
    assert_int_equal(open_at(&journal, made->path, false, 1000, NULL), MUSTER_OK);
    assert_int_equal(journal.content.term, 1000);
    muster_journal_close(&journal);
    assert_int_equal(open_at(&journal, made->path, false, 5, NULL), MUSTER_OK);
    assert_int_equal(journal.content.term, 1001);
    assert_int_equal(muster_journal_raise_term(&journal, NULL), MUSTER_OK);
    muster_journal_close(&journal);
    assert_int_equal(open_at(&journal, made->path, false, 5, NULL), MUSTER_OK);
    assert_int_equal(journal.content.term, 1003);
    muster_journal_close(&journal);
}

static void jobs_survive(void **state)
{
    const place *made = *state;
    muster_journal journal;
    assert_int_equal(open_at(&journal, made->path, false, 1, NULL), MUSTER_OK);
    assert_int_equal(put(&journal, 7, "train", strdup("abc"), 3), MUSTER_OK);
    assert_int_equal(put(&journal, 8, "other", strdup("de"), 2), MUSTER_OK);
    assert_int_equal(muster_journal_remove(&journal, 8, NULL), MUSTER_OK);
    muster_journal_close(&journal);
    assert_int_equal(open_at(&journal, made->path, false, 1, NULL), MUSTER_OK);
    assert_int_equal(journal.content.count, 1);
    assert_memory_equal(muster_journal_content_find(&journal.content, 7)->state.core, "abc", 3);
    muster_journal_close(&journal);
}

static void a_second_holder_is_refused(void **state)
{
    const place *made = *state;
    muster_journal first;
    muster_journal second;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(open_at(&first, made->path, false, 1, NULL), MUSTER_OK);
    assert_int_equal(open_at(&second, made->path, false, 1, &error), MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "held by another coordinator"));
    /* Also after the file was replaced: the lock goes with the name. */
    assert_int_equal(put(&first, 7, "train", strdup("abc"), 3), MUSTER_OK);
    assert_int_equal(open_at(&second, made->path, false, 1, &error), MUSTER_ERR_ENVIRONMENT);
    muster_journal_close(&first);
    assert_int_equal(open_at(&second, made->path, false, 1, &error), MUSTER_OK);
    muster_journal_close(&second);
}

static void a_damaged_one_is_refused_and_kept(void **state)
{
    const place *made = *state;
    muster_journal journal;
    muster_error error;
    char before[512];
    char after[512];
    muster_error_init(&error);
    assert_int_equal(open_at(&journal, made->path, false, 1, NULL), MUSTER_OK);
    assert_int_equal(put(&journal, 7, "train", strdup("abc"), 3), MUSTER_OK);
    muster_journal_close(&journal);

    int fd = open(made->path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "?", 1, 110), 1);
    ssize_t length = pread(fd, before, sizeof before, 0);
    assert_int_equal(open_at(&journal, made->path, false, 1, &error), MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "at offset"));
    assert_non_null(strstr(error.message, "checksum"));
    assert_non_null(strstr(error.message, made->path));
    assert_int_equal(pread(fd, after, sizeof after, 0), length);
    assert_memory_equal(before, after, (size_t)length);

    assert_int_equal(ftruncate(fd, 20), 0);
    assert_int_equal(open_at(&journal, made->path, false, 1, &error), MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "at offset 20"));
    /* An empty file is a new journal: a user may have made it. */
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(open_at(&journal, made->path, false, 1, &error), MUSTER_OK);
    muster_journal_close(&journal);
    close(fd);
}

static void a_place_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    muster_journal journal;
    muster_error error;
    muster_error_init(&error);
    assert_int_equal(open_at(&journal, "/nowhere/at/all/journal", false, 1, &error),
                     MUSTER_ERR_SYSTEM);
    assert_non_null(strstr(error.message, "/nowhere/at/all/journal"));
    assert_int_equal(open_at(&journal, "/tmp", false, 1, &error), MUSTER_ERR_SYSTEM);
}

static off_t size_of(const char *path)
{
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    return facts.st_size;
}

static void a_torn_tail_is_cut_and_told(void **state)
{
    const place *made = *state;
    muster_journal journal;
    assert_int_equal(open_at(&journal, made->path, false, 1, NULL), MUSTER_OK);
    assert_int_equal(put(&journal, 7, "train", strdup("abc"), 3), MUSTER_OK);
    off_t whole = size_of(made->path);
    assert_int_equal(put(&journal, 7, "train", strdup("later"), 5), MUSTER_OK);
    muster_journal_close(&journal);
    assert_int_equal(truncate(made->path, whole + 9), 0);
    assert_int_equal(open_at(&journal, made->path, false, 1, NULL), MUSTER_OK);
    assert_int_equal(journal.cut_bytes, 9);
    assert_memory_equal(muster_journal_content_find(&journal.content, 7)->state.core, "abc", 3);
    muster_journal_close(&journal);
    assert_int_equal(open_at(&journal, made->path, false, 1, NULL), MUSTER_OK);
    assert_int_equal(journal.cut_bytes, 0);
    muster_journal_close(&journal);
}

/* A job that runs for months: a hundred thousand changes, a few records. */
static void it_does_not_grow_for_ever(void **state)
{
    const place *made = *state;
    muster_journal journal;
    off_t largest = 0;
    assert_int_equal(open_at(&journal, made->path, true, 1, NULL), MUSTER_OK);
    for (int i = 0; i < 100000; i++) {
        char text[400];
        memset(text, 'a' + i % 26, sizeof text);
        assert_int_equal(
            put(&journal, (uint64_t)(i % 3), "train", strndup(text, sizeof text), sizeof text),
            MUSTER_OK);
        if (i % 100 == 0 && size_of(made->path) > largest)
            largest = size_of(made->path);
    }
    assert_true(journal.replaced > 10);
    assert_true(largest < 300 * 1024);
    muster_journal_close(&journal);
    assert_int_equal(open_at(&journal, made->path, true, 1, NULL), MUSTER_OK);
    assert_int_equal(journal.content.count, 3);
    muster_journal_close(&journal);
}

static void a_copy_is_refused_unless_it_is_said_to_be_one(void **state)
{
    const place *made = *state;
    muster_journal journal;
    muster_error error;
    char bytes[4096];
    char copy[96];
    muster_error_init(&error);
    assert_int_equal(open_at(&journal, made->path, false, 50, NULL), MUSTER_OK);
    assert_int_equal(put(&journal, 7, "train", strdup("abc"), 3), MUSTER_OK);
    snprintf(copy, sizeof copy, "%s.copy", made->path);
    int from = open(made->path, O_RDONLY | O_CLOEXEC);
    int to = open(copy, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ssize_t got = read(from, bytes, sizeof bytes);
    assert_int_equal(write(to, bytes, (size_t)got), got);
    close(from);
    close(to);
    muster_journal second;
    assert_int_equal(open_at(&second, copy, false, 1, &error), MUSTER_ERR_ENVIRONMENT);
    assert_non_null(strstr(error.message, "is a copy"));
    muster_journal_options options = {.path = copy, .copied = true, .term_floor = 1};
    assert_int_equal(muster_journal_open(&second, &options, &error), MUSTER_OK);
    assert_true(second.content.term > journal.content.term);
    muster_journal_close(&second);
    /* From now on it is one of its own. */
    assert_int_equal(open_at(&second, copy, false, 1, &error), MUSTER_OK);
    muster_journal_close(&second);
    muster_journal_close(&journal);
    unlink(copy);
}

/* A writer that is killed at any moment leaves a journal that says what was said last, or before. */
static void a_killed_writer_leaves_a_whole_one(void **state)
{
    const place *made = *state;
    for (int round = 0; round < 20; round++) {
        pid_t writer = fork();
        if (writer == 0) {
            muster_journal journal;
            if (open_at(&journal, made->path, round % 2 == 1, 1, NULL) != MUSTER_OK)
                _exit(1);
            for (uint64_t i = 0;; i++) {
                size_t bytes = 1000 + i % 5000;
                char *text = malloc(bytes);
                memset(text, (int)('a' + i % 26), bytes);
                if (put(&journal, 7, "train", text, bytes) != MUSTER_OK)
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
        assert_int_equal(open_at(&journal, made->path, false, 1, &error), MUSTER_OK);
        muster_journal_entry *entry = muster_journal_content_find(&journal.content, 7);
        if (entry != NULL) {
            const char *text = entry->state.core;
            for (size_t i = 1; i < entry->state.core_bytes; i++)
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
        cmocka_unit_test_setup_teardown(a_torn_tail_is_cut_and_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_does_not_grow_for_ever, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_copy_is_refused_unless_it_is_said_to_be_one, set_up,
                                        tear_down),
        cmocka_unit_test(a_place_that_cannot_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
