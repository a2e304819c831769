/* SPDX-License-Identifier: Apache-2.0 */
/* How `muster run` ends, under a coordinator that says exactly what a test says: with notes lost, and with other
 * launchers that are nobody. */
#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_coordinator.h"

#define TERM 5
#define PATH_BYTES 64

typedef struct launched {
    char folder[PATH_BYTES];
    char said[PATH_BYTES + 16]; /* its stderr */
    char go[PATH_BYTES + 16];   /* its rank waits for this file */
    char endpoint[PATH_BYTES + 16];
    fake_coordinator *fake;
    pid_t process_id;
    bool ended;
} launched;

extern char **environ;

static void launch(launched *it, const char *slots, const char *spares, const char *rank_count)
{
    char script[PATH_BYTES + 128];
    snprintf(
        script, sizeof script,
        "[ \"$MUSTER_SLOT\" = spare ] && exec sleep 1000; while ! [ -e %s ]; do sleep 0.05; done",
        it->go);
    char *arguments[] = {"muster",
                         "run",
                         "-n",
                         (char *)(uintptr_t)rank_count,
                         "--slots",
                         (char *)(uintptr_t)slots,
                         "--spares",
                         (char *)(uintptr_t)spares,
                         "--job",
                         FAKE_JOB,
                         "--coordinator",
                         it->endpoint,
                         "--no-pid-namespace",
                         "--",
                         "sh",
                         "-c",
                         script,
                         NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, it->said,
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(
        posix_spawn(&it->process_id, MUSTER_COMMAND, &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    muster_message heard = fake_take(it->fake, MUSTER_MESSAGE_LAUNCHER_JOIN);
    muster_message_clean_up(&heard);
    muster_message welcome =
        fake_message(it->fake, MUSTER_MESSAGE_LAUNCHER_WELCOME, MUSTER_SLOT_NONE, 0);
    welcome.u.welcome.policy = fake_policy(atoi(rank_count));
    fake_send(it->fake, &welcome);
    heard = fake_take(it->fake, MUSTER_MESSAGE_STARTED);
    assert_int_equal(heard.slot, 0);
    muster_message_clean_up(&heard);
}

static int set_up(void **state)
{
    static launched it;
    memset(&it, 0, sizeof it);
    snprintf(it.folder, sizeof it.folder, "/tmp/muster-ending-XXXXXX");
    assert_non_null(mkdtemp(it.folder));
    snprintf(it.said, sizeof it.said, "%s/said", it.folder);
    snprintf(it.go, sizeof it.go, "%s/go", it.folder);
    snprintf(it.endpoint, sizeof it.endpoint, "ipc://%s/socket", it.folder);
    it.fake = fake_start(it.endpoint, TERM);
    *state = &it;
    return 0;
}

static int tear_down(void **state)
{
    launched *it = *state;
    if (!it->ended && it->process_id > 0) {
        kill(it->process_id, SIGKILL); /* its keepers and ranks go with it */
        waitpid(it->process_id, NULL, 0);
    }
    fake_stop(it->fake);
    unlink(it->said);
    unlink(it->go);
    unlink(it->endpoint + strlen("ipc://"));
    rmdir(it->folder);
    return 0;
}

static void touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static bool has_said(const launched *it, const char *text)
{
    char said[8192] = "";
    FILE *file = fopen(it->said, "re");
    if (file) {
        size_t bytes = fread(said, 1, sizeof said - 1, file);
        said[bytes] = '\0';
        fclose(file);
    }
    return strstr(said, text) != NULL;
}

static void say(launched *it, muster_status status, const char *text)
{
    muster_message gave_up = fake_message(it->fake, MUSTER_MESSAGE_GAVE_UP, MUSTER_SLOT_NONE, 1);
    gave_up.u.refused.status = (uint32_t)status;
    snprintf(gave_up.u.refused.text, sizeof gave_up.u.refused.text, "%s", text);
    fake_send(it->fake, &gave_up);
}

static void note(launched *it, uint32_t kind, int32_t slot)
{
    muster_message message = fake_message(it->fake, MUSTER_MESSAGE_NOTE, MUSTER_SLOT_NONE, 1);
    message.u.note.kind = kind;
    message.u.note.epoch = 1;
    message.u.note.slot = slot;
    fake_send(it->fake, &message);
}

/* Whether it has ended, at once. */
static bool has_ended(launched *it, int *status)
{
    it->ended = it->ended || waitpid(it->process_id, status, WNOHANG) == it->process_id;
    return it->ended;
}

static void ends_with(launched *it, int code)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    int64_t until_ns = fake_deadline();
    int status = 0;
    while (!has_ended(it, &status) && fake_now() < until_ns)
        nanosleep(&pause, NULL);
    assert_true(it->ended);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static void waits_to_say(launched *it, const char *text)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    int64_t until_ns = fake_deadline();
    int status = 0;
    while (!has_said(it, text) && !has_ended(it, &status) && fake_now() < until_ns)
        nanosleep(&pause, NULL);
    assert_true(has_said(it, text));
}

static void it_says_why_a_job_was_given_up_whose_note_was_lost(void **state)
{
    launched *it = *state;
    launch(it, "0-0", "0", "1");
    say(it, MUSTER_ERR_GAVE_UP, "1 of 2 ranks remain, fewer than the minimum of 2");
    ends_with(it, 3);
    assert_true(
        has_said(it, "muster: gave up: 1 of 2 ranks remain, fewer than the minimum of 2\n"));
}

static void it_says_it_once_where_the_note_came(void **state)
{
    launched *it = *state;
    launch(it, "0-0", "0", "1");
    note(it, MUSTER_NOTE_GAVE_UP, MUSTER_SLOT_NONE);
    say(it, MUSTER_ERR_GAVE_UP, "said a second time");
    ends_with(it, 3);
    assert_true(has_said(it, "muster: gave up: \n"));
    assert_false(has_said(it, "said a second time"));
}

static void exit_codes_decide_where_others_had_left_also_without_the_note(void **state)
{
    launched *it = *state;
    launch(it, "0-0", "0", "1");
    note(it, MUSTER_NOTE_JOINED, 0);
    say(it, MUSTER_ERR_LEFT, "every other rank left after slot 1 was lost");
    waits_to_say(it, "exit codes decide");
    touch(it->go);
    ends_with(it, 0);
    assert_true(has_said(it, "gave up: every other rank left after slot 1 was lost"));
}

/* Slot 1 is another launcher's. */
static void its_spares_wait_for_slots_of_others(void **state)
{
    launched *it = *state;
    launch(it, "0-0", "1", "2");
    note(it, MUSTER_NOTE_JOINED, 0);
    note(it, MUSTER_NOTE_LEFT, 0);
    touch(it->go);
    muster_message exited = fake_take(it->fake, MUSTER_MESSAGE_EXITED);
    assert_int_equal(exited.slot, 0);
    muster_message_clean_up(&exited);
    waits_to_say(it, "its spares wait for those of other launchers");
    say(it, MUSTER_OK, "every rank has left the job");
    ends_with(it, 0);
    assert_false(has_said(it, "gave up"));
}

static void its_spares_end_with_it_where_all_slots_are_its_own(void **state)
{
    launched *it = *state;
    launch(it, "0-0", "1", "1");
    note(it, MUSTER_NOTE_JOINED, 0);
    note(it, MUSTER_NOTE_LEFT, 0);
    touch(it->go);
    ends_with(it, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_says_why_a_job_was_given_up_whose_note_was_lost, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(it_says_it_once_where_the_note_came, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            exit_codes_decide_where_others_had_left_also_without_the_note, set_up, tear_down),
        cmocka_unit_test_setup_teardown(its_spares_wait_for_slots_of_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(its_spares_end_with_it_where_all_slots_are_its_own, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
