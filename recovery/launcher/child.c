/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "launcher/clone.h"
#include "launcher/keeper.h"

#define CHILD_START_TIMEOUT_MS 10000

/* waitid(2) on a pidfd; older headers do not name it. */
#define CHILD_P_PIDFD 3

static void child_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void child_empty(muster_child *child)
{
    memset(child, 0, sizeof *child);
    child->rank_pidfd = child->keeper_pidfd = child->report_fd = -1;
    child->gate_fd = child->stdout_fd = child->stderr_fd = -1;
}

static int child_send_signal(int pidfd, int signal_number)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0);
}

/* A descriptor above the three of stdio, because the rank's are put there one after another. */
static bool child_raise_fd(int *fd)
{
    if (*fd < 0 || *fd > 2)
        return *fd >= 0;
    int raised = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
    close(*fd);
    *fd = raised;
    return raised >= 0;
}

static bool child_pipe(int *reader, int *writer)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    *reader = ends[0];
    *writer = ends[1];
    return child_raise_fd(reader) && child_raise_fd(writer);
}

/* What the rank gets of descriptors; ours after the spawn only to be closed. */
typedef struct child_ends {
    int report_fd;
    int gate_fd;
    int stdin_fd;
    int stdout_fd;
    int stderr_fd;
} child_ends;

static bool child_make_ends(muster_child *child, child_ends *ends, bool redirect)
{
    *ends = (child_ends){-1, -1, -1, -1, -1};
    if (!child_pipe(&child->report_fd, &ends->report_fd) ||
        !child_pipe(&ends->gate_fd, &child->gate_fd))
        return false;
    ends->stdin_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (!child_raise_fd(&ends->stdin_fd))
        return false;
    if (!redirect) {
        ends->stdout_fd = fcntl(1, F_DUPFD_CLOEXEC, 3);
        ends->stderr_fd = fcntl(2, F_DUPFD_CLOEXEC, 3);
        return ends->stdout_fd >= 0 && ends->stderr_fd >= 0;
    }
    return child_pipe(&child->stdout_fd, &ends->stdout_fd) &&
           child_pipe(&child->stderr_fd, &ends->stderr_fd) &&
           fcntl(child->stdout_fd, F_SETFL, O_NONBLOCK) == 0 &&
           fcntl(child->stderr_fd, F_SETFL, O_NONBLOCK) == 0;
}

static void child_close_ends(child_ends *ends)
{
    child_close_fd(&ends->report_fd);
    child_close_fd(&ends->gate_fd);
    child_close_fd(&ends->stdin_fd);
    child_close_fd(&ends->stdout_fd);
    child_close_fd(&ends->stderr_fd);
}

void muster_child_close(muster_child *child)
{
    child_close_fd(&child->rank_pidfd);
    child_close_fd(&child->keeper_pidfd);
    child_close_fd(&child->report_fd);
    child_close_fd(&child->gate_fd);
    child_close_fd(&child->stdout_fd);
    child_close_fd(&child->stderr_fd);
}

/* Takes a failed spawn back: nothing of it is left running. */
static void child_abandon(muster_child *child)
{
    if (child->keeper_pidfd >= 0) {
        siginfo_t facts;
        if (child->rank_pidfd >= 0)
            child_send_signal(child->rank_pidfd, SIGKILL);
        child_send_signal(child->keeper_pidfd, SIGKILL);
        waitid((idtype_t)CHILD_P_PIDFD, (id_t)child->keeper_pidfd, &facts, WEXITED);
    }
    muster_child_close(child);
    child_empty(child);
}

/* 0, or an errno. Reads the keeper's first report. */
static int child_await_start(muster_child *child)
{
    muster_keeper_report report;
    struct pollfd ready = {.fd = child->report_fd, .events = POLLIN};
    int count;
    do {
        count = poll(&ready, 1, CHILD_START_TIMEOUT_MS);
    } while (count < 0 && errno == EINTR);
    if (count == 0)
        return ETIMEDOUT;
    if (count < 0 || read(child->report_fd, &report, sizeof report) != sizeof report)
        return ECHILD;
    if (report.kind != MUSTER_KEEPER_STARTED)
        return report.value != 0 ? report.value : ECHILD;
    child->process_id = (pid_t)report.value;
    /* It waits at its gate, so the number is still its own. */
    child->rank_pidfd = (int)syscall(SYS_pidfd_open, child->process_id, 0);
    return child->rank_pidfd >= 0 || errno == ESRCH ? 0 : errno;
}

muster_status muster_child_spawn(const muster_child_options *options, muster_child *child,
                                 muster_error *error)
{
    child_ends ends;
    child_empty(child);
    child->process_namespace = options->process_namespace;
    if (!child_make_ends(child, &ends, options->redirect)) {
        int reason = errno;
        child_close_ends(&ends);
        child_abandon(child);
        return muster_error_set_errno(error, reason, "making the pipes of a rank (see ulimit -n)");
    }
    const muster_keeper_plan plan = {.process_namespace = options->process_namespace,
                                     .process_id_hint = options->process_id_hint,
                                     .launcher_id = getpid(),
                                     .report_fd = ends.report_fd,
                                     .gate_fd = ends.gate_fd,
                                     .stdin_fd = ends.stdin_fd,
                                     .stdout_fd = ends.stdout_fd,
                                     .stderr_fd = ends.stderr_fd,
                                     .file = options->file,
                                     .arguments = options->arguments,
                                     .environment = options->environment};
    /* Blocked over the fork: a handler of ours must not run in the keeper. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    child->keeper_id = muster_clone(options->process_namespace, &child->keeper_pidfd);
    if (child->keeper_id == 0)
        muster_keeper_live(&plan);
    int reason = child->keeper_id < 0 ? errno : 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    child_close_ends(&ends);
    if (reason != 0) {
        child->keeper_pidfd = -1;
    } else {
        reason = child_await_start(child);
        if (fcntl(child->report_fd, F_SETFL, O_NONBLOCK) != 0 && reason == 0)
            reason = errno;
    }
    if (reason == 0)
        return muster_error_set_ok(error);
    child_abandon(child);
    return muster_error_set_errno(error, reason, "starting a process for a rank (see ulimit -u)");
}

void muster_child_open_gate(muster_child *child)
{
    if (child->gate_fd < 0)
        return;
    ssize_t written = write(child->gate_fd, "g", 1);
    (void)written; /* a rank that was killed at its gate reads no more */
    child_close_fd(&child->gate_fd);
}

bool muster_child_read_reports(muster_child *child)
{
    bool changed = false;
    muster_keeper_report report;
    while (child->report_fd >= 0) {
        ssize_t got = read(child->report_fd, &report, sizeof report);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            break;
        if (got != sizeof report) {
            child_close_fd(&child->report_fd); /* the end; the keeper's pidfd says the rest */
            break;
        }
        if (report.kind == MUSTER_KEEPER_EXITED) {
            child->exited = true;
            child->wait_status = report.value;
            changed = true;
        } else if (report.kind == MUSTER_KEEPER_EXEC_FAILED) {
            child->exec_errno = report.value;
            changed = true;
        }
    }
    return changed;
}

/* As wait(2) would give it. */
static int child_status_of(const siginfo_t *facts)
{
    if (facts->si_code == CLD_EXITED)
        return (facts->si_status & 0xff) << 8;
    return (facts->si_status & 0x7f) | (facts->si_code == CLD_DUMPED ? 0x80 : 0);
}

bool muster_child_reap(muster_child *child)
{
    siginfo_t facts;
    memset(&facts, 0, sizeof facts);
    if (child->gone)
        return false;
    if (waitid((idtype_t)CHILD_P_PIDFD, (id_t)child->keeper_pidfd, &facts, WEXITED | WNOHANG) != 0)
        return false;
    if (facts.si_pid == 0)
        return false;
    muster_child_read_reports(child);
    child->gone = true;
    /* A keeper that was killed took its rank along and could not say how it ended. */
    if (!child->exited) {
        child->exited = true;
        child->wait_status = child_status_of(&facts);
    }
    return true;
}

bool muster_child_signal_rank(const muster_child *child, int signal_number)
{
    return !child->exited && child->rank_pidfd >= 0 &&
           child_send_signal(child->rank_pidfd, signal_number) == 0;
}

void muster_child_signal(const muster_child *child, int signal_number)
{
    /* Before its gate the rank has no group yet, and after its end the number may be another's. */
    if (child->exited || child->rank_pidfd < 0 || child_send_signal(child->rank_pidfd, 0) != 0)
        return;
    if (kill(-child->process_id, signal_number) != 0)
        child_send_signal(child->rank_pidfd, signal_number);
}

void muster_child_kill(const muster_child *child)
{
    muster_child_signal_rank(child, SIGKILL);
}

void muster_child_kill_keeper(const muster_child *child)
{
    if (!child->gone && child->keeper_pidfd >= 0)
        child_send_signal(child->keeper_pidfd, SIGKILL);
}

bool muster_child_namespace_works(void)
{
    const muster_child_options probe = {.process_namespace = true};
    muster_child child;
    muster_error error;
    siginfo_t facts;
    muster_error_init(&error);
    if (muster_child_spawn(&probe, &child, &error) != MUSTER_OK) {
        errno = error.native_code;
        return false;
    }
    waitid((idtype_t)CHILD_P_PIDFD, (id_t)child.keeper_pidfd, &facts, WEXITED);
    muster_child_close(&child);
    return true;
}
