/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "base/error.h"
#include "launcher/launcher_state.h"

#define LAUNCHER_LINE_BYTES 700
#define LAUNCHER_SLEEP_MS_MAX 1000
/* What is still queued when the job is over gets this long to be written. */
#define LAUNCHER_FLUSH_NS (2000 * NS_PER_MS)
#define LAUNCHER_LINGER_MS 200
#define LAUNCHER_DESCRIPTORS_WANTED 65536

int64_t muster_launcher_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void muster_launcher_say(muster_launcher *launcher, const char *format, ...)
{
    char line[LAUNCHER_LINE_BYTES];
    size_t used = (size_t)snprintf(line, sizeof line, "muster: ");
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line + used, sizeof line - used - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    used += (size_t)length < sizeof line - used - 1 ? (size_t)length : sizeof line - used - 2;
    line[used++] = '\n';
    muster_output_put(&launcher->err, line, used);
    muster_output_flush(&launcher->err);
}

muster_status muster_launcher_spawn(muster_launcher *launcher, const char *file,
                                    char *const *arguments, char *const *environment, bool redirect,
                                    muster_child *child, muster_error *error)
{
    const muster_child_options options = {.file = file,
                                          .arguments = arguments,
                                          .environment = environment,
                                          .redirect = redirect,
                                          .process_namespace = launcher->process_namespace,
                                          .process_id_hint = launcher->last_process_id + 1};
    muster_status status = muster_child_spawn(&options, child, error);
    if (status == MUSTER_OK)
        launcher->last_process_id = child->process_id;
    return status;
}

/* ---- setting up ---- */

/* Descriptors 0 to 2 must be somebody's, or a socket would become somebody's stdout. */
static void launcher_fill_stdio(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= 2);
    if (fd >= 0)
        close(fd);
}

static void launcher_raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= LAUNCHER_DESCRIPTORS_WANTED)
        return;
    limit.rlim_cur =
        limit.rlim_max < LAUNCHER_DESCRIPTORS_WANTED ? limit.rlim_max : LAUNCHER_DESCRIPTORS_WANTED;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static muster_status launcher_catch_signals(muster_launcher *launcher, muster_error *error)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD,
           SIG_DFL); /* ignored, as some parents leave it, children would reap themselves */
    launcher->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (launcher->signal_fd < 0)
        return muster_error_set_errno(error, errno, "making a signalfd");
    return muster_error_set_ok(error);
}

static void launcher_choose_namespace(muster_launcher *launcher)
{
    const char *why = "--no-pid-namespace";
    bool works = launcher->options.process_namespace;
    if (works) {
        works = muster_child_namespace_works();
        why = strerror(errno);
    }
    launcher->process_namespace = works;
    if (works)
        muster_launcher_say(launcher,
                            "grandchildren are ended by the kernel, with the PID namespace "
                            "of their rank");
    else
        muster_launcher_say(launcher,
                            "grandchildren are ended by their rank's keeper, which finds "
                            "them (no PID namespace: %s)",
                            why);
}

static muster_status launcher_open_control(muster_launcher *launcher, muster_error *error)
{
    const muster_run_options *options = &launcher->options;
    const muster_control_facts facts = {.job_name = options->job_name,
                                        .coordinator_key = options->coordinator_key,
                                        .key_file = options->key_file,
                                        .first_slot = options->first_slot,
                                        .slot_count = options->slot_count,
                                        .spare_count = options->spare_count,
                                        .policy = &options->policy};
    const char *endpoint = options->coordinator;
    if (endpoint == NULL) {
        muster_status status = muster_run_folder_make(&launcher->folder, error);
        if (status == MUSTER_OK)
            status = muster_own_coordinator_start(launcher, error);
        if (status != MUSTER_OK)
            return status;
        endpoint = launcher->coordinator.endpoint;
    }
    muster_status status = muster_control_open(&launcher->control, endpoint, &facts, error);
    launcher->controlled = status == MUSTER_OK;
    return status;
}

static int launcher_exit_code(muster_status status)
{
    switch (status) {
    case MUSTER_OK:
        return MUSTER_RUN_EXIT_OK;
    case MUSTER_ERR_INVALID_ARGUMENT:
    case MUSTER_ERR_ENVIRONMENT:
        return MUSTER_RUN_EXIT_USAGE;
    case MUSTER_ERR_NO_COORDINATOR:
        return MUSTER_RUN_EXIT_COORDINATOR;
    default:
        return MUSTER_RUN_EXIT_SYSTEM;
    }
}

static muster_status launcher_set_up(muster_launcher *launcher, muster_error *error)
{
    launcher->slots = calloc((size_t)launcher->options.slot_count, sizeof *launcher->slots);
    if (launcher->slots == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for %d slots", launcher->options.slot_count);
    launcher_raise_limits();
    muster_status status = launcher_catch_signals(launcher, error);
    if (status != MUSTER_OK)
        return status;
    launcher->last_process_id = getpid();
    launcher_choose_namespace(launcher);
    muster_archive_open(launcher);
    launcher->now_ns = muster_launcher_clock_ns();
    return launcher_open_control(launcher, error);
}

/* ---- the loop ---- */

static void launcher_take_signals(muster_launcher *launcher)
{
    struct signalfd_siginfo facts;
    while (read(launcher->signal_fd, &facts, sizeof facts) == sizeof facts)
        muster_ending_signal(launcher, (int)facts.ssi_signo);
}

static void launcher_say_unanswered(muster_launcher *launcher)
{
    const muster_control *control = &launcher->control;
    const char *endpoint = launcher->options.coordinator != NULL ? launcher->options.coordinator
                                                                 : launcher->coordinator.endpoint;
    const char *refusal = muster_link_trouble(&control->link);
    if (refusal != NULL)
        muster_launcher_say(launcher, "the coordinator at %s does not talk to us: %s", endpoint,
                            refusal);
    else
        muster_launcher_say(launcher,
                            "the coordinator at %s does not answer in %lld ms%s%s: is "
                            "`muster coordinator` running there?",
                            endpoint, (long long)(launcher->options.contact_ns / NS_PER_MS),
                            control->trouble[0] != '\0' ? "; what comes: " : "", control->trouble);
}

/* A coordinator that was named: it has to answer before anything is started, and later on its silence
 * is worth a word, no more: the ranks go on without it. */
static void launcher_watch_coordinator(muster_launcher *launcher)
{
    const muster_run_options *options = &launcher->options;
    int64_t silent_ns = launcher->now_ns - launcher->control.heard_ns;
    int64_t away_ns = launcher->now_ns - launcher->control.reached_ns;
    if (launcher->ending)
        return;
    if (launcher->began && !launcher->silence_said && options->coordinator != NULL &&
        away_ns > options->policy.deadlines.reconnect_ns) {
        launcher->silence_said = true;
        muster_launcher_say(launcher,
                            "the coordinator at %s cannot be reached; the ranks go on without it",
                            options->coordinator);
    }
    if (!launcher->began) {
        if (silent_ns < options->contact_ns)
            return;
        launcher_say_unanswered(launcher);
        muster_ending_fail(launcher, MUSTER_RUN_EXIT_COORDINATOR);
    }
}

static int64_t launcher_deadline(const muster_launcher *launcher, int64_t control_ns)
{
    int64_t earliest_ns = control_ns;
    int64_t rank_ns = muster_rank_deadline(launcher);
    int64_t ending_ns = muster_ending_deadline(launcher);
    if (rank_ns < earliest_ns)
        earliest_ns = rank_ns;
    if (ending_ns < earliest_ns)
        earliest_ns = ending_ns;
    if (launcher->coordinator.start_again_ns != 0 &&
        launcher->coordinator.start_again_ns < earliest_ns)
        earliest_ns = launcher->coordinator.start_again_ns;
    return earliest_ns;
}

typedef struct launcher_poll {
    zmq_pollitem_t *items;
    size_t count;
    size_t capacity;
} launcher_poll;

static void launcher_poll_fd(launcher_poll *set, int fd, short events)
{
    if (fd >= 0 && set->count < set->capacity)
        set->items[set->count++] = (zmq_pollitem_t){.fd = fd, .events = events};
}

static void launcher_poll_child(launcher_poll *set, const muster_child *child)
{
    launcher_poll_fd(set, child->report_fd, ZMQ_POLLIN);
    if (!child->gone)
        launcher_poll_fd(set, child->keeper_pidfd, ZMQ_POLLIN);
}

/* Output is read only where ours has room: a full queue is drained first, when its reader reads. */
static void launcher_poll_rank(launcher_poll *set, const muster_launcher *launcher,
                               const muster_rank *rank)
{
    launcher_poll_child(set, &rank->child);
    if (muster_output_has_room(&launcher->out, MUSTER_OUTPUT_BYTES / 2))
        launcher_poll_fd(set, rank->child.stdout_fd, ZMQ_POLLIN);
    if (muster_output_has_room(&launcher->err, MUSTER_OUTPUT_BYTES / 2))
        launcher_poll_fd(set, rank->child.stderr_fd, ZMQ_POLLIN);
}

static void launcher_wait(muster_launcher *launcher, launcher_poll *set, int64_t deadline_ns)
{
    const muster_own_coordinator *own = &launcher->coordinator;
    size_t wanted = launcher->rank_count * 4 + 16;
    if (wanted > set->capacity) {
        zmq_pollitem_t *items = realloc(set->items, wanted * sizeof *items);
        if (items != NULL) {
            set->items = items;
            set->capacity = wanted;
        }
    }
    set->count = 0;
    if (set->capacity > 0 && launcher->controlled)
        set->items[set->count++] =
            (zmq_pollitem_t){.socket = launcher->control.link.socket, .events = ZMQ_POLLIN};
    launcher_poll_fd(set, launcher->signal_fd, ZMQ_POLLIN);
    if (launcher->out.used > 0 && !launcher->out.broken)
        launcher_poll_fd(set, launcher->out.fd, ZMQ_POLLOUT);
    if (launcher->err.used > 0 && !launcher->err.broken)
        launcher_poll_fd(set, launcher->err.fd, ZMQ_POLLOUT);
    if (own->running) {
        launcher_poll_child(set, &own->child);
        launcher_poll_fd(set, own->child.stdout_fd, ZMQ_POLLIN);
        launcher_poll_fd(set, own->child.stderr_fd, ZMQ_POLLIN);
    }
    for (size_t i = 0; i < launcher->rank_count; i++)
        launcher_poll_rank(set, launcher, launcher->ranks[i]);
    int64_t left_ns = deadline_ns - muster_launcher_clock_ns();
    long sleep_ms = left_ns <= 0 ? 0 : (long)((left_ns + NS_PER_MS - 1) / NS_PER_MS);
    zmq_poll(set->items, (int)set->count,
             sleep_ms < LAUNCHER_SLEEP_MS_MAX ? sleep_ms : LAUNCHER_SLEEP_MS_MAX);
}

static void launcher_run(muster_launcher *launcher)
{
    launcher_poll set = {NULL, 0, 0};
    launcher->control.heard_ns = muster_launcher_clock_ns();
    launcher->control.reached_ns = launcher->control.heard_ns;
    while (!launcher->over) {
        launcher->now_ns = muster_launcher_clock_ns();
        launcher_take_signals(launcher);
        muster_own_coordinator_turn(launcher);
        int64_t control_ns = muster_control_turn(&launcher->control, launcher->now_ns);
        /* What the coordinator knows before what we see: a rank that left is no loss. */
        muster_hearing_turn(launcher);
        muster_rank_turn(launcher);
        launcher_watch_coordinator(launcher);
        muster_ending_turn(launcher);
        muster_output_flush(&launcher->out);
        muster_output_flush(&launcher->err);
        if (!launcher->over)
            launcher_wait(launcher, &set, launcher_deadline(launcher, control_ns));
    }
    free(set.items);
}

/* ---- taking down ---- */

static void launcher_flush(muster_launcher *launcher)
{
    int64_t deadline_ns = muster_launcher_clock_ns() + LAUNCHER_FLUSH_NS;
    const struct timespec pause = {.tv_nsec = 2 * NS_PER_MS};
    for (;;) {
        muster_output_flush(&launcher->out);
        muster_output_flush(&launcher->err);
        bool empty = (launcher->out.used == 0 || launcher->out.broken) &&
                     (launcher->err.used == 0 || launcher->err.broken);
        if (empty || muster_launcher_clock_ns() > deadline_ns)
            return;
        nanosleep(&pause, NULL);
    }
}

static void launcher_take_down(muster_launcher *launcher)
{
    launcher->over = true;
    if (launcher->controlled)
        muster_control_close(&launcher->control, LAUNCHER_LINGER_MS);
    muster_own_coordinator_stop(launcher);
    muster_archive_close(launcher);
    muster_run_folder_remove(&launcher->folder);
    launcher_flush(launcher);
    muster_rank_free_all(launcher);
    free(launcher->slots);
    free(launcher->records);
    muster_report_clean_up(&launcher->report);
    if (launcher->signal_fd >= 0)
        close(launcher->signal_fd);
}

int muster_launcher_main(int argc, char **argv)
{
    muster_error error;
    muster_error_init(&error);
    launcher_fill_stdio();
    muster_launcher *launcher = calloc(1, sizeof *launcher);
    if (launcher == NULL) {
        fprintf(stderr, "muster: no memory for the launcher\n");
        return MUSTER_RUN_EXIT_SYSTEM;
    }
    if (muster_run_options_parse(&launcher->options, argc, argv, &error) != MUSTER_OK) {
        fprintf(stderr, "muster run: %s\nmuster run: see `muster run --help`\n", error.message);
        free(launcher);
        return MUSTER_RUN_EXIT_USAGE;
    }
    if (launcher->options.help) {
        muster_run_options_print_help(stdout);
        free(launcher);
        return MUSTER_RUN_EXIT_OK;
    }
    muster_output_init(&launcher->out, STDOUT_FILENO);
    muster_output_init(&launcher->err, STDERR_FILENO);
    muster_report_init(&launcher->report);
    /* Over a file's socket it is on this host. */
    launcher->report.two_clocks = launcher->options.coordinator != NULL &&
                                  strncmp(launcher->options.coordinator, "ipc://", 6) != 0;
    launcher->signal_fd = -1;
    launcher->folder.lock_fd = -1;
    muster_status status = launcher_set_up(launcher, &error);
    if (status == MUSTER_OK) {
        launcher_run(launcher);
    } else {
        muster_launcher_say(launcher, "%s", error.message);
        launcher->exit_code = launcher_exit_code(status);
    }
    launcher_take_down(launcher);
    int exit_code = launcher->exit_code;
    free(launcher);
    return exit_code;
}
