/* SPDX-License-Identifier: Apache-2.0 */
#include "tracing/session/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "tracing/session/recording.h"

#define DAEMON_PROGRAM "lttng-sessiond"
#define ORPHAN_SESSIONS_MAX 64

extern char **environ;

static int64_t daemon_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int daemon_pidfd(pid_t process_id)
{
    return (int)syscall(SYS_pidfd_open, process_id, 0);
}

/* True once the process is gone, whoever reaps it. */
static bool daemon_wait_gone(int pidfd, int64_t deadline_ns)
{
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};
    for (;;) {
        int64_t left_ns = deadline_ns - daemon_now_ns();
        int count = poll(&poller, 1, left_ns > 0 ? (int)(left_ns / 1000000) + 1 : 0);
        if (count > 0)
            return true;
        if (count == 0 && left_ns <= 0)
            return false;
    }
}

/* Start time in clock ticks since boot: with it a process id names one process for ever. */
static uint64_t daemon_start_ticks(pid_t process_id)
{
    char path[64];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process_id);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    const char *at = strrchr(text, ')'); /* the name may hold blanks and brackets */
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at != NULL ? strtoull(at, NULL, 10) : 0;
}

static pid_t daemon_process_id(const muster_place *place)
{
    char path[PATH_MAX];
    if (place->home[0] != '\0')
        snprintf(path, sizeof path, "%s/.lttng/lttng-sessiond.pid", place->home);
    else
        snprintf(path, sizeof path, "/run/lttng/lttng-sessiond.pid");
    FILE *file = fopen(path, "re");
    int process_id = 0;
    if (file != NULL) {
        if (fscanf(file, "%d", &process_id) != 1)
            process_id = 0;
        fclose(file);
    }
    return process_id;
}

static int daemon_spawn(pid_t *process_id)
{
    /* --daemonize returns when the daemon takes clients. Kernel tracing is not our subject, and
     * looking for its modules takes seconds. */
    char *arguments[] = {DAEMON_PROGRAM, "--daemonize", "--no-kernel", "--quiet", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0)
        return code;
    code = posix_spawnattr_init(&attributes);
    if (code == 0) {
        code = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        for (int descriptor = 1; code == 0 && descriptor <= 2; descriptor++)
            code = posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0);
        if (code == 0)
            code = posix_spawnattr_setsigmask(&attributes, &none);
        if (code == 0)
            code =
                posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
        if (code == 0)
            code =
                posix_spawnp(process_id, DAEMON_PROGRAM, &actions, &attributes, arguments, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

static muster_status daemon_start(const muster_place *place, int64_t deadline_ns,
                                  muster_error *error)
{
    pid_t starter = 0;
    int code = daemon_spawn(&starter);
    if (code == ENOENT)
        return muster_error_set(error, MUSTER_ERR_UNSUPPORTED, MUSTER_FIELD_NONE, 0, 0,
                                "no LTTng session daemon runs and " DAEMON_PROGRAM
                                " is not in PATH: install lttng-tools to record traces");
    if (code != 0)
        return muster_error_set_errno(error, code, "starting " DAEMON_PROGRAM);
    int pidfd = daemon_pidfd(starter);
    bool gone = pidfd < 0 || daemon_wait_gone(pidfd, deadline_ns);
    if (!gone)
        kill(starter, SIGKILL);
    if (pidfd >= 0)
        close(pidfd);
    int wait_status = 0;
    pid_t reaped = waitpid(starter, &wait_status, 0); /* ECHILD: the launcher's loop was faster */
    while (!muster_recording_daemon_alive()) {
        bool failed = reaped == starter && wait_status != 0;
        if (failed || daemon_now_ns() >= deadline_ns)
            return muster_error_set(
                error, MUSTER_ERR_UNSUPPORTED, MUSTER_FIELD_NONE, 0, wait_status,
                DAEMON_PROGRAM " does not start (wait status %d): try "
                               "'" DAEMON_PROGRAM " --no-kernel' by hand to see why",
                wait_status);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    pid_t process_id = daemon_process_id(place);
    uint64_t start_ticks = process_id > 0 ? daemon_start_ticks(process_id) : 0;
    if (start_ticks > 0)
        muster_place_write_daemon(place, process_id, start_ticks);
    return MUSTER_OK;
}

static void daemon_sweep(const muster_place *place)
{
    char token[MUSTER_PLACE_TOKEN_BYTES];
    char prefix[sizeof MUSTER_DAEMON_SESSION_PREFIX + MUSTER_PLACE_TOKEN_BYTES + 1];
    long cursor = 0;
    while (muster_place_next_orphan(place, &cursor, token)) {
        char(*names)[MUSTER_RECORDING_NAME_BYTES] = calloc(ORPHAN_SESSIONS_MAX, sizeof *names);
        if (names == NULL)
            return;
        snprintf(prefix, sizeof prefix, MUSTER_DAEMON_SESSION_PREFIX "%s-", token);
        int32_t count = muster_recording_list(prefix, names, ORPHAN_SESSIONS_MAX, NULL);
        for (int32_t i = 0; i < count; i++)
            muster_recording_destroy(names[i], NULL);
        free(names);
        if (count >= 0 && count < ORPHAN_SESSIONS_MAX) {
            muster_place_forget(place, token);
            cursor = 0;
        }
    }
}

muster_status muster_daemon_acquire(muster_place *place, int64_t deadline_ns, muster_error *error)
{
    int lock = muster_place_lock_daemon(place, deadline_ns);
    if (lock < 0)
        return muster_error_set(error, MUSTER_ERR_UNSUPPORTED, MUSTER_FIELD_NONE, 0, 0,
                                "another launcher holds %s and does not let go: see who it is "
                                "with fuser",
                                place->path);
    muster_status status = place->own_lock >= 0 ? MUSTER_OK : muster_place_join(place, error);
    if (status == MUSTER_OK && !muster_recording_daemon_alive())
        status = daemon_start(place, deadline_ns, error);
    if (status == MUSTER_OK) {
        daemon_sweep(place);
        /* A stopped daemon still takes connections: only an answer proves that it works. */
        if (muster_recording_list(MUSTER_DAEMON_SESSION_PREFIX, NULL, 0, NULL) < 0)
            status =
                muster_error_set(error, MUSTER_ERR_UNSUPPORTED, MUSTER_FIELD_NONE, 0, 0,
                                 "the LTTng session daemon does not list its sessions: restart "
                                 "lttng-sessiond");
        else
            muster_error_set_ok(error);
    }
    close(lock);
    return status;
}

static void daemon_stop(const muster_place *place, int64_t deadline_ns)
{
    int process_id;
    uint64_t start_ticks;
    int32_t others = 0;
    if (!muster_place_read_daemon(place, &process_id, &start_ticks) ||
        process_id != daemon_process_id(place))
        return; /* it was there before us, or ours is gone and it is another: not ours to stop */
    int pidfd = daemon_pidfd(process_id);
    /* Start time read after the descriptor was opened: it cannot be another process any more. */
    if (pidfd >= 0 && daemon_start_ticks(process_id) == start_ticks) {
        int32_t ours = muster_recording_list(MUSTER_DAEMON_SESSION_PREFIX, NULL, 0, &others);
        if (ours < 0 || others > 0) { /* somebody records by hand */
            close(pidfd);
            return;
        }
        syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
        daemon_wait_gone(pidfd, deadline_ns);
    }
    muster_place_remove_daemon(place);
    if (pidfd >= 0)
        close(pidfd);
}

void muster_daemon_release(muster_place *place, int64_t deadline_ns)
{
    int lock = muster_place_lock_daemon(place, deadline_ns);
    if (lock < 0)
        return;
    if (muster_place_leave_users(place))
        daemon_stop(place, deadline_ns);
    close(lock);
}
