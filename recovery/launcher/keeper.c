/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launcher/clone.h"

#define KEEPER_NUMBER_TRIES 4096
#define KEEPER_NUMBER_FIRST 301
#define KEEPER_KILL_ROUNDS 500
#define KEEPER_KILL_PAUSE_NS 2000000
#define KEEPER_EXIT_NOT_STARTED 127

static void keeper_report(int fd, muster_keeper_report_kind kind, int32_t value)
{
    const muster_keeper_report report = {.kind = (int32_t)kind, .value = value};
    ssize_t written = write(fd, &report, sizeof report);
    (void)written; /* a launcher that does not read is dead, and we soon too */
}

/* Closes everything but the descriptors of keep, which ascend. */
static void keeper_close_others(const int *keep, int count)
{
    unsigned int from = 0;
    for (int i = 0; i <= count; i++) {
        unsigned int to = i < count ? (unsigned int)keep[i] : ~0u;
        bool last = i == count;
        if (last || to > from) {
            unsigned int end = last ? to : to - 1;
            if (syscall(SYS_close_range, from, end, 0) != 0) {
                unsigned int bound = end < 65536 ? end : 65536;
                for (unsigned int fd = from; fd <= bound; fd++)
                    close((int)fd);
            }
        }
        from = to + 1;
    }
}

static void keeper_sort(int *numbers, int count)
{
    for (int i = 1; i < count; i++) {
        for (int j = i; j > 0 && numbers[j] < numbers[j - 1]; j--) {
            int swapped = numbers[j];
            numbers[j] = numbers[j - 1];
            numbers[j - 1] = swapped;
        }
    }
}

static void keeper_close_all_but_plan(const muster_keeper_plan *plan)
{
    int keep[5] = {plan->report_fd, plan->gate_fd, plan->stdin_fd, plan->stdout_fd,
                   plan->stderr_fd};
    int count = 0;
    keeper_sort(keep, 5);
    for (int i = 0; i < 5; i++) {
        if (keep[i] >= 0 && (count == 0 || keep[count - 1] != keep[i]))
            keep[count++] = keep[i];
    }
    keeper_close_others(keep, count);
}

/* The rank's own life until its exec. Signals are still blocked as in the keeper. */
static _Noreturn void keeper_become_rank(const muster_keeper_plan *plan, pid_t keeper_id)
{
    char byte;
    sigset_t none;
    if (plan->file == NULL)
        _exit(0);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper_id)
        _exit(KEEPER_EXIT_NOT_STARTED);
    ssize_t got;
    do {
        got = read(plan->gate_fd, &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got != 1)
        _exit(KEEPER_EXIT_NOT_STARTED);
    /* The plan's descriptors are all above 2: the launcher sees to it. */
    if (dup2(plan->stdin_fd, 0) < 0 || dup2(plan->stdout_fd, 1) < 0 ||
        dup2(plan->stderr_fd, 2) < 0) {
        keeper_report(plan->report_fd, MUSTER_KEEPER_EXEC_FAILED, errno);
        _exit(KEEPER_EXIT_NOT_STARTED);
    }
    /* An ignored SIGPIPE and a blocked mask would pass the exec. */
    for (int signal_number = 1; signal_number < NSIG; signal_number++)
        signal(signal_number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvpe(plan->file, plan->arguments, plan->environment);
    keeper_report(plan->report_fd, MUSTER_KEEPER_EXEC_FAILED, errno);
    _exit(KEEPER_EXIT_NOT_STARTED);
}

/* A free number, the same inside and outside of the namespace. */
static pid_t keeper_clone_numbered(pid_t hint)
{
    pid_t number = hint > KEEPER_NUMBER_FIRST ? hint : KEEPER_NUMBER_FIRST;
    for (int i = 0; i < KEEPER_NUMBER_TRIES; i++) {
        pid_t made = muster_clone_as(number);
        if (made >= 0 || (errno != EEXIST && errno != EINVAL))
            return made;
        /* EINVAL: beyond the largest number of this machine. */
        number = errno == EINVAL ? KEEPER_NUMBER_FIRST : number + 1;
    }
    errno = EAGAIN;
    return -1;
}

static pid_t keeper_make_rank(const muster_keeper_plan *plan)
{
    pid_t keeper_id = getpid();
    pid_t rank = plan->process_namespace ? keeper_clone_numbered(plan->process_id_hint)
                                         : muster_clone(false, NULL);
    if (rank == 0)
        keeper_become_rank(plan, keeper_id);
    return rank;
}

/* Reaps whoever ended. True once the rank did. */
static bool keeper_reap(const muster_keeper_plan *plan, pid_t rank)
{
    bool rank_ended = false;
    for (;;) {
        int status = 0;
        pid_t ended = waitpid(-1, &status, WNOHANG);
        if (ended <= 0)
            return rank_ended;
        if (ended == rank) {
            rank_ended = true;
            keeper_report(plan->report_fd, MUSTER_KEEPER_EXITED, status);
        }
    }
}

/* The children that this process has now, by the kernel's list. Returns how many were killed. */
static int keeper_kill_children(void)
{
    char text[4096];
    int killed = 0;
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0)
        return 0;
    pid_t number = 0;
    for (ssize_t i = 0; i < length; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            number = number * 10 + (text[i] - '0');
        } else {
            if (number > 1 && kill(number, SIGKILL) == 0)
                killed++;
            number = 0;
        }
    }
    return killed;
}

/* Without a namespace: the group first, then whoever left the group and was left to us; a killed one
 * leaves us its own children, so again until there is none. Bounded: a process in uninterruptible
 * sleep must not keep us. */
static void keeper_end_descendants(pid_t rank)
{
    const struct timespec pause = {.tv_nsec = KEEPER_KILL_PAUSE_NS};
    kill(-rank, SIGKILL);
    for (int round = 0; round < KEEPER_KILL_ROUNDS; round++) {
        keeper_kill_children();
        pid_t ended;
        do {
            ended = waitpid(-1, NULL, WNOHANG);
        } while (ended > 0);
        if (ended < 0)
            return;
        nanosleep(&pause, NULL);
    }
}

_Noreturn void muster_keeper_live(const muster_keeper_plan *plan)
{
    sigset_t wanted;
    /* The mask is not the launcher's business any more: everything waits, two are waited for. */
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    /* The gate guards the moment before this: a launcher that is dead already never opens it. */
    prctl(PR_SET_PDEATHSIG, plan->process_namespace ? SIGKILL : SIGTERM);
    if (!plan->process_namespace) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        if (getppid() != plan->launcher_id)
            _exit(KEEPER_EXIT_NOT_STARTED);
    }
    setsid(); /* out of the terminal's group: Ctrl-C is the launcher's to pass on */
    prctl(PR_SET_NAME, "muster-keeper");
    signal(SIGCHLD, SIG_DFL);
    keeper_close_all_but_plan(plan);

    pid_t rank = keeper_make_rank(plan);
    if (rank < 0) {
        keeper_report(plan->report_fd, MUSTER_KEEPER_FAILED, errno);
        _exit(KEEPER_EXIT_NOT_STARTED);
    }
    keeper_report(plan->report_fd, MUSTER_KEEPER_STARTED, rank);
    const int report_fd = plan->report_fd;
    close(plan->gate_fd);
    keeper_close_others(&report_fd, 1);

    bool rank_ended = false;
    bool ordered = false;
    while (!rank_ended && !ordered) {
        int signal_number = sigwaitinfo(&wanted, NULL);
        ordered = signal_number == SIGTERM;
        rank_ended = keeper_reap(plan, rank);
    }
    if (!plan->process_namespace) {
        if (!rank_ended) {
            kill(rank, SIGKILL);
            int status = 0;
            if (waitpid(rank, &status, 0) == rank)
                keeper_report(plan->report_fd, MUSTER_KEEPER_EXITED, status);
        }
        keeper_end_descendants(rank);
    }
    _exit(0);
}
