/* SPDX-License-Identifier: Apache-2.0 */
/* Gather, lose a rank, rebuild, gather again:
 *   muster run -n 3 --on-loss shrink -- ./hello      (or --on-loss replace) */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include <muster/muster.h>

enum { ROOT = 0, RANKS_MAX = 64 };

/* Rank r has r + 1 rows that say its slot; the root prints everyone's. */
static muster_status gather(muster_comm *world, int64_t slot, muster_error *error)
{
    int64_t own[RANKS_MAX];
    int64_t all[RANKS_MAX * RANKS_MAX];
    int64_t lengths[RANKS_MAX];
    const int32_t rank = muster_comm_rank(world);
    const int32_t size = muster_comm_size(world);
    for (int32_t i = 0; i <= rank; i++) {
        own[i] = slot;
    }
    muster_status status = muster_allgather_lengths(world, rank + 1, lengths, size, error);
    if (status != MUSTER_OK) {
        return status;
    }
    muster_tensor rows = muster_tensor_host(own, MUSTER_DTYPE_INT64, rank + 1, 1);
    muster_tensor gathered = muster_tensor_host(all, MUSTER_DTYPE_INT64, RANKS_MAX * RANKS_MAX, 1);
    muster_root_rows root_rows = {.struct_bytes = sizeof root_rows, .contiguous = &gathered};
    status = muster_gatherv(world, &rows, lengths, size, ROOT, &root_rows, error);
    if (status == MUSTER_OK && rank == ROOT) {
        printf("epoch %" PRIu64 ": slots", muster_comm_epoch(world).value);
        for (int32_t i = 0; i < size * (size + 1) / 2; i++) {
            printf(" %" PRId64, all[i]);
        }
        printf("\n");
    }
    return status;
}

int main(void)
{
    muster_job *job = NULL;
    muster_error error;
    muster_error_init(&error);
    muster_status status = muster_job_join(NULL, &job, &error);
    for (int gathers = 0; status == MUSTER_OK && gathers < 2; gathers++) {
        status = gather(muster_job_world(job), muster_job_slot(job), &error);
        if (muster_job_slot(job) == 1 && muster_job_incarnation(job) == 0) {
            raise(SIGKILL); /* lose a rank */
        }
        if (muster_status_advice(status) == MUSTER_ADVICE_RECOVER) {
            status = muster_comm_rebuild(muster_job_world(job), NULL, &error);
            gathers = -1; /* all two again in the new epoch: a replacement has made none */
        }
    }
    if (status == MUSTER_OK) {
        (void)muster_barrier(muster_job_world(job), NULL); /* leave together */
    }
    if (status != MUSTER_OK) {
        fprintf(stderr, "hello: %s: %s\n", muster_status_name(status), error.message);
    }
    muster_job_leave(job, NULL);
    return status == MUSTER_OK ? 0 : 1;
}
