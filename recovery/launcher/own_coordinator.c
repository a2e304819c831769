/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator of a job that named none: a child like a rank, behind a keeper, so that it dies with
 * its launcher. When it dies alone it is started again from its journal, and the ranks live on. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "launcher/launcher_state.h"
#include "operator/http_address.h"

#define OWN_COORDINATOR_START_MS 10000
/* A coordinator that lived longer than this did not die of its start. */
#define OWN_COORDINATOR_HEALTHY_NS (10000 * NS_PER_MS)
#define OWN_COORDINATOR_QUICK_DEATHS_MAX 8
#define OWN_COORDINATOR_WAIT_NS (50 * NS_PER_MS)
#define OWN_COORDINATOR_WAIT_MAX_NS (2000 * NS_PER_MS)
#define OWN_COORDINATOR_STOP_MS 2000
/* More quick deaths than that, and it is started without the --http that people gave. */
#define OWN_COORDINATOR_HTTP_DEATHS 1

extern char **environ;

static muster_status own_coordinator_spawn(muster_launcher *launcher, muster_error *error)
{
    muster_own_coordinator *own = &launcher->coordinator;
    /* The journal has to outlive the coordinator; with the machine the ranks are gone, too. */
    char *arguments[] = {"muster",
                         "coordinator",
                         "--bind",
                         own->endpoint,
                         "--journal",
                         own->journal,
                         "--journal-no-sync",
                         "--ready-fd",
                         "1",
                         "--parent-death",
                         NULL,
                         NULL,
                         NULL,
                         NULL,
                         NULL,
                         NULL};
    size_t at = 10;
    if (launcher->sessions != NULL)
        arguments[at++] = "--trace";
    if (muster_http_side_built()) {
        arguments[at++] = "--http";
        arguments[at++] = own->status;
    }
    /* A page is not worth the job: where the port is taken when a coordinator comes back, it does so
     * without. */
    if (launcher->options.http != NULL && own->quick_deaths <= OWN_COORDINATOR_HTTP_DEATHS) {
        arguments[at++] = "--http";
        arguments[at++] = (char *)(uintptr_t)launcher->options.http;
    }
    muster_status status = muster_launcher_spawn(launcher, "/proc/self/exe", arguments, environ,
                                                 true, &own->child, error);
    if (status != MUSTER_OK)
        return status;
    muster_archive_begin_coordinator(launcher);
    muster_child_open_gate(&own->child);
    snprintf(own->err.label, sizeof own->err.label, "[coordinator] ");
    own->err.label_bytes = strlen(own->err.label);
    own->err.used = 0;
    own->starts++;
    own->running = true;
    own->ready = false;
    own->started_ns = muster_launcher_clock_ns();
    own->start_again_ns = 0;
    return muster_error_set_ok(error);
}

static void own_coordinator_sink(void *context, const char *line, size_t bytes)
{
    muster_output_put(context, line, bytes);
}

/* Its stdout says where it listens, once it does; its stderr is for people. */
static void own_coordinator_read(muster_launcher *launcher)
{
    muster_own_coordinator *own = &launcher->coordinator;
    char bytes[4096];
    if (own->child.stdout_fd >= 0) {
        ssize_t got = read(own->child.stdout_fd, bytes, sizeof bytes);
        own->ready = own->ready || got > 0;
        if (got == 0) {
            /* It says one word and closes; the end of a pipe is readable for ever, and polling on
             * would take a whole core from the ranks. */
            close(own->child.stdout_fd);
            own->child.stdout_fd = -1;
        }
    }
    while (own->child.stderr_fd >= 0 && muster_output_has_room(&launcher->err, 2 * sizeof bytes)) {
        ssize_t got = read(own->child.stderr_fd, bytes, sizeof bytes);
        if (got == 0) {
            close(own->child.stderr_fd);
            own->child.stderr_fd = -1;
        }
        if (got <= 0)
            break;
        muster_prefix_feed(&own->err, bytes, (size_t)got, own_coordinator_sink, &launcher->err);
    }
}

static void own_coordinator_take_in(muster_launcher *launcher)
{
    muster_own_coordinator *own = &launcher->coordinator;
    muster_child_read_reports(&own->child);
    own_coordinator_read(launcher);
    if (!muster_child_reap(&own->child))
        return;
    own_coordinator_read(launcher);
    muster_prefix_finish(&own->err, own_coordinator_sink, &launcher->err);
    muster_child_close(&own->child);
    muster_archive_end_coordinator(launcher);
    own->running = false;
}

muster_status muster_own_coordinator_start(muster_launcher *launcher, muster_error *error)
{
    muster_own_coordinator *own = &launcher->coordinator;
    snprintf(own->endpoint, sizeof own->endpoint, "ipc://%s/coordinator", launcher->folder.path);
    snprintf(own->journal, sizeof own->journal, "%s/journal", launcher->folder.path);
    snprintf(own->status, sizeof own->status, "unix:%s/" MUSTER_RUN_FOLDER_STATUS,
             launcher->folder.path);
    own->wanted = true;
    muster_status status = own_coordinator_spawn(launcher, error);
    if (status != MUSTER_OK)
        return status;
    int64_t deadline_ns = muster_launcher_clock_ns() + OWN_COORDINATOR_START_MS * NS_PER_MS;
    while (own->running && !own->ready && muster_launcher_clock_ns() < deadline_ns) {
        struct pollfd ready[2] = {{.fd = own->child.stdout_fd, .events = POLLIN},
                                  {.fd = own->child.keeper_pidfd, .events = POLLIN}};
        poll(ready, 2, 100);
        own_coordinator_take_in(launcher);
    }
    if (own->running && own->ready)
        return muster_error_set_ok(error);
    return muster_error_set(error, MUSTER_ERR_NO_COORDINATOR, MUSTER_FIELD_NONE, 0, 0,
                            "the coordinator of this job cannot be started%s; name one with "
                            "--coordinator, or see its words above",
                            own->running ? ": it does not get ready" : "");
}

static void own_coordinator_say_death(muster_launcher *launcher, int64_t wait_ns)
{
    int status = launcher->coordinator.child.wait_status;
    if (WIFSIGNALED(status))
        muster_launcher_say(launcher,
                            "the coordinator was ended by signal %d (%s); the ranks live "
                            "on, it is started again in %lld ms",
                            WTERMSIG(status), strsignal(WTERMSIG(status)),
                            (long long)(wait_ns / NS_PER_MS));
    else
        muster_launcher_say(launcher,
                            "the coordinator ended with exit code %d; the ranks live on, "
                            "it is started again in %lld ms",
                            WEXITSTATUS(status), (long long)(wait_ns / NS_PER_MS));
}

static void own_coordinator_died(muster_launcher *launcher)
{
    muster_own_coordinator *own = &launcher->coordinator;
    bool healthy = launcher->now_ns - own->started_ns > OWN_COORDINATOR_HEALTHY_NS;
    own->quick_deaths = healthy ? 0 : own->quick_deaths + 1;
    if (own->quick_deaths > OWN_COORDINATOR_QUICK_DEATHS_MAX) {
        muster_launcher_say(launcher, "the coordinator dies again and again: the job ends");
        own->wanted = false;
        muster_ending_fail(launcher, MUSTER_RUN_EXIT_COORDINATOR);
        return;
    }
    int64_t wait_ns = 0;
    for (int i = 1; i < own->quick_deaths; i++)
        wait_ns = wait_ns == 0 ? OWN_COORDINATOR_WAIT_NS : wait_ns * 2;
    if (wait_ns > OWN_COORDINATOR_WAIT_MAX_NS)
        wait_ns = OWN_COORDINATOR_WAIT_MAX_NS;
    own->start_again_ns = launcher->now_ns + wait_ns;
    own_coordinator_say_death(launcher, wait_ns);
}

void muster_own_coordinator_turn(muster_launcher *launcher)
{
    muster_own_coordinator *own = &launcher->coordinator;
    muster_error error;
    muster_error_init(&error);
    if (!own->wanted)
        return;
    if (own->running) {
        own_coordinator_take_in(launcher);
        if (!own->running)
            own_coordinator_died(launcher);
    }
    if (!own->running && own->start_again_ns != 0 && launcher->now_ns >= own->start_again_ns &&
        own_coordinator_spawn(launcher, &error) != MUSTER_OK) {
        muster_launcher_say(launcher, "the coordinator cannot be started again: %s", error.message);
        own->started_ns = launcher->now_ns;
        own_coordinator_died(launcher);
    }
}

/* Asked first, so that it can say what it still has to say; bounded. */
void muster_own_coordinator_stop(muster_launcher *launcher)
{
    muster_own_coordinator *own = &launcher->coordinator;
    int64_t start_ns = muster_launcher_clock_ns();
    bool killed = false;
    own->wanted = false;
    if (!own->running)
        return;
    muster_child_signal_rank(&own->child, SIGTERM);
    while (own->running) {
        struct pollfd ended = {.fd = own->child.keeper_pidfd, .events = POLLIN};
        int64_t waited_ns = muster_launcher_clock_ns() - start_ns;
        if (!killed && waited_ns > OWN_COORDINATOR_STOP_MS * NS_PER_MS) {
            muster_child_kill(&own->child);
            killed = true;
        }
        if (waited_ns > 2 * OWN_COORDINATOR_STOP_MS * NS_PER_MS)
            muster_child_kill_keeper(&own->child);
        poll(&ended, 1, 50);
        own_coordinator_take_in(launcher);
    }
}
