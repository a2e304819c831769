/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of ranks. A process goes through: started, waiting at its gate until its recording session
 * is made, running, exited (its keeper reported how), gone (its keeper ended, and with it whatever the
 * rank had started). */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/launcher_state.h"

#define RANK_READ_BYTES 16384
#define RANK_READS_A_TURN 16
/* A join that was noted just before the exit may still be on its way to us. */
#define RANK_JUDGE_NS (300 * NS_PER_MS)
/* As a shell says it of a command that it could not start. */
#define RANK_STATUS_NOT_STARTED (127 << 8)
#define RANK_ENVIRONMENT_OWN 13
#define RANK_VARIABLE_BYTES (PATH_MAX + 64)

muster_launched_slot *muster_rank_slot_of(muster_launcher *launcher, int32_t slot)
{
    int32_t index = slot - launcher->options.first_slot;
    return index >= 0 && index < launcher->options.slot_count ? &launcher->slots[index] : NULL;
}

muster_rank *muster_rank_find(muster_launcher *launcher, int32_t slot, uint32_t incarnation)
{
    for (size_t i = 0; i < launcher->rank_count; i++) {
        muster_rank *rank = launcher->ranks[i];
        if (rank->slot == slot && rank->incarnation == incarnation)
            return rank;
    }
    return NULL;
}

muster_rank *muster_rank_find_process(muster_launcher *launcher, int32_t process_id)
{
    for (size_t i = 0; i < launcher->rank_count; i++) {
        if (launcher->ranks[i]->child.process_id == process_id)
            return launcher->ranks[i];
    }
    return NULL;
}

size_t muster_rank_living(const muster_launcher *launcher, bool spares_too)
{
    size_t living = 0;
    for (size_t i = 0; i < launcher->rank_count; i++) {
        const muster_rank *rank = launcher->ranks[i];
        if (!rank->child.gone && (spares_too || rank->slot >= 0))
            living++;
    }
    return living;
}

/* ---- starting ---- */

typedef struct rank_environment {
    char **strings; /* NULL at the end */
    char own[RANK_ENVIRONMENT_OWN][RANK_VARIABLE_BYTES];
} rank_environment;

extern char **environ;

static bool rank_same_variable(const char *one, const char *other)
{
    size_t length = strcspn(one, "=");
    return strncmp(one, other, length + 1) == 0;
}

/* Absolute, since ranks may change their folder. Empty: none, so that those of our own environment,
 * which are not for the coordinator of this job, do not count. */
static void rank_key_variable(char variable[RANK_VARIABLE_BYTES], const char *name,
                              const char *path)
{
    char *absolute = path != NULL ? realpath(path, NULL) : NULL;
    if (absolute == NULL && path == NULL)
        path = "";
    snprintf(variable, RANK_VARIABLE_BYTES, "%s=%s", name, absolute != NULL ? absolute : path);
    free(absolute);
}

/* Ours, then the tracer's, then what we were given and neither says. False: no memory. */
static bool rank_fill_environment(const muster_launcher *launcher, rank_environment *environment,
                                  int32_t slot, uint32_t incarnation)
{
    const muster_run_options *options = &launcher->options;
    const char *const *tracing = muster_session_environment(launcher->sessions);
    size_t given = 0;
    size_t traced = 0;
    size_t count = 0;
    while (environ[given] != NULL)
        given++;
    while (tracing != NULL && tracing[traced] != NULL)
        traced++;
    environment->strings = calloc(given + traced + RANK_ENVIRONMENT_OWN + 1, sizeof(char *));
    if (environment->strings == NULL)
        return false;
    const char *endpoint =
        options->coordinator != NULL ? options->coordinator : launcher->coordinator.endpoint;
#define RANK_SET(...) \
    do { \
        snprintf(environment->own[count], sizeof environment->own[count], __VA_ARGS__); \
        environment->strings[count] = environment->own[count]; \
        count++; \
    } while (0)
    RANK_SET("MUSTER_COORDINATOR=%s", endpoint);
    RANK_SET("MUSTER_JOB=%s", options->job_name);
    rank_key_variable(environment->own[count], "MUSTER_COORDINATOR_KEY", options->coordinator_key);
    environment->strings[count] = environment->own[count];
    count++;
    rank_key_variable(environment->own[count], "MUSTER_KEY_FILE", options->key_file);
    environment->strings[count] = environment->own[count];
    count++;
    if (slot >= 0) {
        RANK_SET("MUSTER_SLOT=%d", slot);
        RANK_SET("MUSTER_INCARNATION=%u", incarnation);
    } else {
        RANK_SET("MUSTER_SLOT=spare");
    }
    if (options->host_address != NULL)
        RANK_SET("MUSTER_HOST_ADDRESS=%s", options->host_address);
    RANK_SET("MUSTER_SLOT_COUNT=%d", options->policy.slot_count);
    if (options->device_plane != NULL) {
        RANK_SET("MUSTER_DEVICE_PLANE=%s", options->device_plane);
        RANK_SET("MUSTER_DEVICE=%d", muster_run_options_device(options, slot, incarnation));
        /* A spare does not know its slot yet; that of a rank is in its own variable. */
        if (slot >= 0)
            RANK_SET("MUSTER_DEVICE_SLOTS=");
        else if (options->device_count > 0)
            RANK_SET("MUSTER_DEVICE_SLOTS=%d-%d/%d", options->first_slot,
                     options->first_slot + options->slot_count - 1, options->device_count);
        else
            RANK_SET("MUSTER_DEVICE_SLOTS=%d-%d", options->first_slot,
                     options->first_slot + options->slot_count - 1);
    }
#undef RANK_SET
    for (size_t i = 0; i < traced; i++)
        environment->strings[count++] = (char *)(uintptr_t)tracing[i];
    size_t said = count;
    for (size_t i = 0; i < given; i++) {
        bool overridden = slot < 0 && strncmp(environ[i], "MUSTER_INCARNATION=", 19) == 0;
        for (size_t j = 0; j < said && !overridden; j++)
            overridden = rank_same_variable(environment->strings[j], environ[i]);
        if (!overridden)
            environment->strings[count++] = environ[i];
    }
    return true;
}

static bool rank_reserve(muster_launcher *launcher)
{
    if (launcher->rank_count < launcher->rank_capacity)
        return true;
    size_t capacity = launcher->rank_capacity == 0 ? 16 : launcher->rank_capacity * 2;
    muster_rank **ranks = realloc(launcher->ranks, capacity * sizeof *ranks);
    if (ranks == NULL)
        return false;
    launcher->ranks = ranks;
    launcher->rank_capacity = capacity;
    return true;
}

static muster_rank *rank_make(muster_launcher *launcher, int32_t slot, uint32_t incarnation,
                              muster_error *error)
{
    const muster_run_options *options = &launcher->options;
    rank_environment *environment = calloc(1, sizeof *environment);
    muster_rank *rank = calloc(1, sizeof *rank);
    muster_error_init(error);
    bool filled = environment != NULL && rank != NULL && rank_reserve(launcher) &&
                  rank_fill_environment(launcher, environment, slot, incarnation);
    muster_status status = MUSTER_ERR_NO_MEMORY;
    if (filled) {
        status = muster_launcher_spawn(launcher, options->command[0], options->command,
                                       environment->strings, options->prefix, &rank->child, error);
    } else {
        snprintf(error->message, sizeof error->message, "no memory for another rank");
    }
    if (environment != NULL)
        free(environment->strings);
    free(environment);
    if (status != MUSTER_OK) {
        free(rank);
        return NULL;
    }
    launcher->ranks[launcher->rank_count++] = rank;
    return rank;
}

static void rank_record(muster_launcher *launcher, const muster_rank *rank)
{
    if (launcher->record_count == launcher->record_capacity) {
        size_t capacity = launcher->record_capacity == 0 ? 16 : launcher->record_capacity * 2;
        muster_process_record *records = realloc(launcher->records, capacity * sizeof *records);
        if (records == NULL)
            return; /* job.json lacks it */
        launcher->records = records;
        launcher->record_capacity = capacity;
    }
    launcher->records[launcher->record_count++] =
        (muster_process_record){.slot = rank->slot,
                                .incarnation = rank->incarnation,
                                .spare = rank->slot < 0,
                                .process_id = rank->child.process_id,
                                .started_ns = rank->started_ns};
}

bool muster_rank_start(muster_launcher *launcher, int32_t slot, uint32_t incarnation)
{
    muster_error error;
    muster_rank *rank = rank_make(launcher, slot, incarnation, &error);
    int64_t now_ns = muster_launcher_clock_ns();
    if (rank == NULL) {
        muster_launcher_say(launcher, "slot %d cannot be started: %s", slot, error.message);
        muster_control_send_process(&launcher->control, MUSTER_MESSAGE_EXITED, slot, incarnation, 0,
                                    RANK_STATUS_NOT_STARTED, now_ns);
        return false;
    }
    rank->slot = slot;
    rank->spare = slot < 0;
    rank->incarnation = incarnation;
    rank->started_ns = now_ns;
    rank->since_epoch = launcher->epoch;
    muster_prefix_set_label(&rank->out, slot, incarnation);
    muster_prefix_set_label(&rank->err, slot, incarnation);
    muster_archive_begin(launcher, rank);
    muster_child_open_gate(&rank->child);
    rank_record(launcher, rank);
    muster_launched_slot *place = muster_rank_slot_of(launcher, slot);
    if (place != NULL)
        *place = (muster_launched_slot){.lives = true, .started = true, .incarnation = incarnation};
    if (slot >= 0)
        muster_control_send_process(&launcher->control, MUSTER_MESSAGE_STARTED, slot, incarnation,
                                    rank->child.process_id, -1, now_ns);
    return true;
}

void muster_rank_assign(muster_launcher *launcher, muster_rank *rank, int32_t slot,
                        uint32_t incarnation)
{
    rank->slot = slot;
    rank->incarnation = incarnation;
    rank->since_epoch = launcher->epoch;
    rank->joined = true;
    muster_prefix_set_label(&rank->out, slot, incarnation);
    muster_prefix_set_label(&rank->err, slot, incarnation);
    muster_launched_slot *place = muster_rank_slot_of(launcher, slot);
    if (place != NULL)
        *place = (muster_launched_slot){.lives = true, .started = true, .incarnation = incarnation};
    muster_process_record *record = muster_archive_record(launcher, rank->child.process_id);
    if (record != NULL) {
        record->slot = slot;
        record->incarnation = incarnation;
    }
    muster_control_send_process(&launcher->control, MUSTER_MESSAGE_STARTED, slot, incarnation,
                                rank->child.process_id, -1, launcher->now_ns);
}

/* ---- output ---- */

static void rank_sink(void *context, const char *line, size_t bytes)
{
    muster_output_put(context, line, bytes);
}

/* Reads what is there, as far as our own output has room for it. True: the pipe has ended. */
static bool rank_read(int fd, muster_prefix *prefix, muster_output *output)
{
    char bytes[RANK_READ_BYTES];
    for (int i = 0; i < RANK_READS_A_TURN; i++) {
        /* Each line may grow by a label: short lines more than double. */
        if (!muster_output_has_room(output, 4 * sizeof bytes)) {
            muster_output_flush(output);
            if (!muster_output_has_room(output, 4 * sizeof bytes))
                return false;
        }
        ssize_t got = read(fd, bytes, sizeof bytes / 4);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return false;
        if (got <= 0)
            return true;
        muster_prefix_feed(prefix, bytes, (size_t)got, rank_sink, output);
    }
    return false;
}

static void rank_read_output(int *fd, bool gone, muster_prefix *prefix, muster_output *output)
{
    if (*fd < 0)
        return;
    bool ended = rank_read(*fd, prefix, output);
    /* Once everybody below is gone, what is there is all that comes. */
    if (ended || (gone && muster_output_has_room(output, MUSTER_PREFIX_PIECE_BYTES))) {
        muster_prefix_finish(prefix, rank_sink, output);
        close(*fd);
        *fd = -1;
    }
}

/* ---- ends ---- */

static void rank_say_end(muster_launcher *launcher, const muster_rank *rank)
{
    int status = rank->child.wait_status;
    char who[64];
    if (rank->slot >= 0)
        snprintf(who, sizeof who, "slot %d (incarnation %u, process %d)", rank->slot,
                 rank->incarnation, rank->child.process_id);
    else
        snprintf(who, sizeof who, "a spare (process %d)", rank->child.process_id);
    if (WIFSIGNALED(status))
        muster_launcher_say(launcher, "%s was ended by signal %d (%s)", who, WTERMSIG(status),
                            strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        muster_launcher_say(launcher, "%s ended with exit code %d", who, WEXITSTATUS(status));
}

static void rank_tell_exit(muster_launcher *launcher, muster_rank *rank)
{
    /* A coordinator that lost its journal does not know: to it a rank that ended well is else one that never
     * joined, and the job is begun a second time. */
    bool member = rank->joined && rank->since_epoch < launcher->epoch;
    rank->told = true;
    if (member)
        muster_control_send_member_exited(&launcher->control, rank->slot, rank->incarnation,
                                          rank->child.process_id, rank->child.wait_status,
                                          rank->exited_ns);
    else
        muster_control_send_process(&launcher->control, MUSTER_MESSAGE_EXITED, rank->slot,
                                    rank->incarnation, rank->child.process_id,
                                    rank->child.wait_status, rank->exited_ns);
}

static void rank_handle_exit(muster_launcher *launcher, muster_rank *rank)
{
    rank->exit_handled = true;
    rank->exited_ns = launcher->now_ns;
    muster_process_record *record = muster_archive_record(launcher, rank->child.process_id);
    if (record != NULL) {
        record->ended_ns = launcher->now_ns;
        record->wait_status = rank->child.wait_status;
    }
    rank_say_end(launcher, rank);
    muster_launched_slot *place = muster_rank_slot_of(launcher, rank->slot);
    if (place != NULL && place->incarnation == rank->incarnation)
        place->lives = false;
    if (rank->slot >= 0)
        muster_report_exited(&launcher->report, rank->slot, rank->incarnation,
                             rank->child.wait_status, launcher->now_ns);
    /* One that ended by itself before any join, in its first life, has a say of its own: a command
     * that fails at once, or one that is no muster program. */
    bool own_end = rank->incarnation == 0 && rank->slot >= 0 && !rank->joined &&
                   WIFEXITED(rank->child.wait_status);
    if (own_end)
        rank->judge_ns = launcher->now_ns + RANK_JUDGE_NS;
    else
        rank_tell_exit(launcher, rank);
}

static void rank_judge(muster_launcher *launcher, muster_rank *rank)
{
    if (rank->judge_ns == 0 || (!rank->joined && rank->judge_ns > launcher->now_ns))
        return;
    rank->judge_ns = 0;
    if (rank->joined)
        rank_tell_exit(launcher, rank);
    else
        muster_ending_unjoined(launcher, rank);
}

static void rank_take_in(muster_launcher *launcher, muster_rank *rank)
{
    muster_child_read_reports(&rank->child);
    muster_child_reap(&rank->child);
    if (rank->child.exec_errno != 0 && !rank->exit_handled) {
        muster_launcher_say(launcher, "the command '%s' cannot be started: %s",
                            launcher->options.command[0], strerror(rank->child.exec_errno));
        rank->child.exec_errno = 0;
        muster_ending_fail(launcher, MUSTER_RUN_EXIT_USAGE);
    }
    rank_read_output(&rank->child.stdout_fd, rank->child.gone, &rank->out, &launcher->out);
    rank_read_output(&rank->child.stderr_fd, rank->child.gone, &rank->err, &launcher->err);
    /* Not before its keeper ended: behind a shell, what the rank did may go on for a moment after the
     * shell, and an exit is believed to prove that nobody writes any more. */
    if (rank->child.gone && !rank->exit_handled)
        rank_handle_exit(launcher, rank);
    rank_judge(launcher, rank);
}

/* Gone, read to its end, and judged: only its record stays. The last one of a slot stays too, for a
 * coordinator that asks again. */
static bool rank_is_history(muster_launcher *launcher, const muster_rank *rank)
{
    if (!rank->child.gone || rank->judge_ns != 0 || rank->child.stdout_fd >= 0 ||
        rank->child.stderr_fd >= 0)
        return false;
    const muster_launched_slot *place = muster_rank_slot_of(launcher, rank->slot);
    return place == NULL || place->incarnation > rank->incarnation;
}

static void rank_forget(muster_launcher *launcher, size_t index)
{
    muster_rank *rank = launcher->ranks[index];
    muster_child_close(&rank->child);
    free(rank);
    launcher->ranks[index] = launcher->ranks[--launcher->rank_count];
}

void muster_rank_turn(muster_launcher *launcher)
{
    for (size_t i = 0; i < launcher->rank_count;) {
        muster_rank *rank = launcher->ranks[i];
        bool was_gone = rank->child.gone;
        rank_take_in(launcher, rank);
        if (rank->child.gone && !was_gone) {
            muster_archive_end(launcher, rank);
            muster_archive_job(launcher);
        }
        if (rank_is_history(launcher, rank))
            rank_forget(launcher, i);
        else
            i++;
    }
}

int64_t muster_rank_deadline(const muster_launcher *launcher)
{
    int64_t earliest_ns = INT64_MAX;
    for (size_t i = 0; i < launcher->rank_count; i++) {
        int64_t judge_ns = launcher->ranks[i]->judge_ns;
        if (judge_ns != 0 && judge_ns < earliest_ns)
            earliest_ns = judge_ns;
    }
    return earliest_ns;
}

void muster_rank_tell_all(muster_launcher *launcher)
{
    for (size_t i = 0; i < launcher->rank_count; i++) {
        muster_rank *rank = launcher->ranks[i];
        if (!rank->exit_handled && rank->slot >= 0)
            muster_control_send_process(&launcher->control, MUSTER_MESSAGE_STARTED, rank->slot,
                                        rank->incarnation, rank->child.process_id, -1,
                                        rank->started_ns);
        else if (rank->told)
            rank_tell_exit(launcher, rank);
    }
}

void muster_rank_free_all(muster_launcher *launcher)
{
    while (launcher->rank_count > 0)
        rank_forget(launcher, 0);
    free(launcher->ranks);
    launcher->ranks = NULL;
    launcher->rank_capacity = 0;
}
