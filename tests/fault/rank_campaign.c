/* SPDX-License-Identifier: Apache-2.0 */
/* A rank of the campaign: a job that computes what can be checked, and goes on over every loss.
 *
 *   rank_campaign --steps N --seed S --step-ms T --folder DIR     under `muster run`
 *     --big-step K    everyone has many rows in step K
 *     --die SLOT.INCARNATION:STEP:AFTER_US:WHERE    SIGKILL this long after the rank came there; -1: any step
 *     --may-starve    a rank that runs out of memory or descriptors ends, and the others go on
 *   rank_campaign --steps N --seed S [--big-step K] --digest CELLS   what an undisturbed run must end with */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rank_work.h"

enum { REBUILDS_WITHOUT_ANSWER_MAX = 2 };

volatile sig_atomic_t work_hang;

static void hang(int signal_number)
{
    (void)signal_number;
    work_hang = 1;
}

_Noreturn void work_wrong(const struct work *work, const char *what, uint64_t expected,
                          uint64_t came)
{
    printf("campaign: WRONG %s: expected %016" PRIx64 ", came %016" PRIx64
           " (%s, slot %d, rank %d of %d, step %" PRIu64 ", epoch %" PRIu64 ")\n",
           what, expected, came, work->where, muster_job_slot(work->job), work->rank, work->size,
           work->expected.step, muster_job_epoch(work->job).value);
    fflush(stdout);
    _Exit(RANK_EXIT_WRONG);
}

static bool allocate(struct work *work)
{
    size_t rows = (size_t)VALUES_ROWS_MAX * (size_t)work->values.cell_count + 1;
    size_t word_bytes = rows * VALUES_ROW_WORDS * sizeof(uint64_t);
    void *words = NULL;
    void *bytes = NULL;
    work_at(work, "muster_memory_alloc");
    work->words = malloc(word_bytes);
    work->back_words = malloc(word_bytes);
    work->bytes = malloc(rows * VALUES_ROW_BYTES);
    work->root_words[1] = malloc(word_bytes);
    work->root_bytes[1] = malloc(rows * VALUES_ROW_BYTES);
    bool good =
        muster_memory_alloc(work->job, word_bytes, &words, &work->error) == MUSTER_OK &&
        muster_memory_alloc(work->job, rows * VALUES_ROW_BYTES, &bytes, &work->error) == MUSTER_OK;
    work->root_words[0] = words;
    work->root_bytes[0] = bytes;
    return good && work->words && work->back_words && work->bytes && work->root_words[1] &&
           work->root_bytes[1];
}

static void release(struct work *work)
{
    free(work->words);
    free(work->back_words);
    free(work->bytes);
    free(work->root_words[1]);
    free(work->root_bytes[1]);
    if (muster_param_free(work->param) != MUSTER_OK)
        printf("campaign: UNEXPECTED a parameter that cannot be freed\n");
    free(work->shard);
}

/* Tells the campaign which process fills the slot now. */
static void write_process_id(const struct work *work)
{
    char path[512];
    char whole[512];
    snprintf(path, sizeof path, "%s/.%d.%u", work->folder, muster_job_slot(work->job),
             muster_job_incarnation(work->job));
    snprintf(whole, sizeof whole, "%s/slot%d.%u", work->folder, muster_job_slot(work->job),
             muster_job_incarnation(work->job));
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return;
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
    rename(path, whole);
}

static muster_status run_steps(struct work *work)
{
    while (work->own.step < work->step_count) {
        muster_status status = work_step(work);
        if (status == MUSTER_OK)
            status = work_commit(work);
        if (status != MUSTER_OK)
            return status;
        if (work->rank == 0)
            printf("campaign: step=%" PRIu64 "\n", work->own.step);
    }
    muster_status status = work_verify_end(work);
    if (status != MUSTER_OK)
        return status;
    work_at(work, "the last barrier");
    return muster_barrier(work->world, &work->error);
}

static muster_status rebuild(struct work *work)
{
    muster_rebuild_result result = {.struct_bytes = sizeof result};
    muster_status status = MUSTER_OK;
    work_drop(work);
    work_at(work, "a rebuild");
    for (int i = 0; i < REBUILDS_WITHOUT_ANSWER_MAX; i++) {
        status = muster_comm_rebuild(work->world, &result, &work->error);
        if (muster_status_advice(status) != MUSTER_ADVICE_RETRY)
            break;
    }
    return status;
}

static int ended_with(const struct work *work, muster_status status)
{
    const bool detailed = work->error.status == status && work->error.message[0] != '\0';
    const bool fenced = status == MUSTER_ERR_FENCED;
    const bool gave_up = status == MUSTER_ERR_GAVE_UP;
    const bool alone = status == MUSTER_ERR_NO_COORDINATOR ||
                       (status == MUSTER_ERR_TIMEOUT && strcmp(work->where, "a rebuild") == 0);
    printf("campaign: %s %s in %s at step %" PRIu64 ": %s\n",
           fenced || gave_up ? "ends"
           : alone           ? "ends alone,"
                             : "UNEXPECTED",
           muster_status_name(status), work->where, work->own.step,
           detailed ? work->error.message : muster_status_text(status));
    return fenced    ? RANK_EXIT_FENCED
           : gave_up ? RANK_EXIT_GAVE_UP
           : alone   ? RANK_EXIT_ALONE
                     : RANK_EXIT_UNEXPECTED;
}

/* A rank that cannot go on ends without a word, and the others take its loss. All of them hear of it, with the
 * rank that it is about; where it is not said, whoever has it is the one. */
static bool starves(const struct work *work, muster_status status, bool *own)
{
    if (!work->may_starve || (status != MUSTER_ERR_NO_MEMORY && status != MUSTER_ERR_SYSTEM))
        return false;
    *own = work->error.status != status || work->error.rank < 0 || work->error.rank == work->rank;
    printf("campaign: starved %s in %s at step %" PRIu64 ": %s\n", *own ? "itself" : "another",
           work->where, work->own.step, work->error.message);
    return true;
}

static int run(struct work *work)
{
    bool ended = false; /* the last step is committed, only the farewell is missing */
    muster_status status = work_restore(work);
    for (;;) {
        if (status == MUSTER_OK)
            status = run_steps(work);
        ended = ended || work->own.step >= work->step_count;
        if (status == MUSTER_OK || (ended && status == MUSTER_ERR_GAVE_UP))
            return RANK_EXIT_DONE; /* where the others have left, there is nobody to wait for */
        bool own = false;
        const bool starved = starves(work, status, &own);
        if (starved && own)
            _Exit(RANK_EXIT_STARVED);
        /* What all agreed upon costs the world nothing: it stands until the loss is known. */
        if (starved) {
            work_drop(work);
            do {
                status = muster_barrier(work->world, &work->error);
            } while (status == MUSTER_OK);
        }
        if (!starved && muster_status_advice(status) != MUSTER_ADVICE_RECOVER &&
            status != MUSTER_ERR_TIMEOUT)
            return ended_with(work, status);
        printf("campaign: %s in %s at step %" PRIu64 "\n", muster_status_name(status), work->where,
               work->own.step);
        status = rebuild(work);
        if (status == MUSTER_OK)
            status = work_restore(work);
    }
}

static int work_in_job(struct work *work)
{
    muster_error_init(&work->error);
    work_at(work, "the join");
    muster_status status = muster_job_join(NULL, &work->job, &work->error);
    if (status != MUSTER_OK) {
        printf("campaign: not joined: %s: %s\n", muster_status_name(status), work->error.message);
        return RANK_EXIT_NOT_JOINED;
    }
    write_process_id(work);
    work->world = muster_job_world(work->job);
    work->values.cell_count = muster_job_slot_count(work->job);
    int code = RANK_EXIT_UNEXPECTED;
    if (work->values.cell_count > VALUES_CELLS_MAX)
        printf("campaign: UNEXPECTED more than %d slots\n", VALUES_CELLS_MAX);
    else if (!allocate(work))
        printf("campaign: UNEXPECTED no memory: %s\n", work->error.message);
    else
        code = run(work);
    work_drop(work);
    release(work);
    status = muster_job_leave(work->job, &work->error);
    if (status != MUSTER_OK && code == RANK_EXIT_DONE)
        printf("campaign: left with %s: %s\n", muster_status_name(status), work->error.message);
    return code;
}

static int print_digest(const struct work *work, int32_t cells)
{
    static struct values_state state;
    const struct values values = {
        .seed = work->values.seed, .cell_count = cells, .big_step = work->values.big_step};
    values_begin(&state);
    while (state.step < work->step_count)
        values_advance(&values, &state);
    printf("%016" PRIx64 "\n", values_digest(&values, &state));
    return RANK_EXIT_DONE;
}

int main(int argc, char **argv)
{
    static struct work work = {.step_count = 20, .step_ms = 10, .folder = "."};
    static const struct option options[] = {{"steps", required_argument, NULL, 'n'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"step-ms", required_argument, NULL, 't'},
                                            {"folder", required_argument, NULL, 'f'},
                                            {"digest", required_argument, NULL, 'd'},
                                            {"big-step", required_argument, NULL, 'b'},
                                            {"die", required_argument, NULL, 'k'},
                                            {"may-starve", no_argument, NULL, 'm'},
                                            {NULL, 0, NULL, 0}};
    int32_t digest_cells = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'n':
            work.step_count = strtoull(optarg, NULL, 10);
            break;
        case 's':
            work.values.seed = strtoull(optarg, NULL, 10);
            break;
        case 't':
            work.step_ms = strtoll(optarg, NULL, 10);
            break;
        case 'f':
            work.folder = optarg;
            break;
        case 'd':
            digest_cells = (int32_t)strtol(optarg, NULL, 10);
            break;
        case 'b':
            work.values.big_step = strtoull(optarg, NULL, 10) + 1;
            break;
        case 'k':
            if (!work_death_add(&work, optarg))
                return RANK_EXIT_USAGE;
            break;
        case 'm':
            work.may_starve = true;
            break;
        default:
            return RANK_EXIT_USAGE;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (digest_cells > 0 && digest_cells <= VALUES_CELLS_MAX)
        return print_digest(&work, digest_cells);
    const struct sigaction action = {.sa_handler = hang, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    return work_in_job(&work);
}
