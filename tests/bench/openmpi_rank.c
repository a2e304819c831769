/* SPDX-License-Identifier: Apache-2.0 */
/* The same loss under Open MPI: all ranks gather to rank 0 in turn; one stays out of a gather until the
 * others wait in it, writes the time and kills itself. MPI as it is installed has no recovery: what can be
 * measured is how long the others, and mpirun, live on. */
#include <fcntl.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 256, RANKS_MOST = 64, GATHERS_BEFORE = 3 };

static void die(const char *mark_path)
{
    const struct timespec until_others_wait = {.tv_nsec = 100000000};
    nanosleep(&until_others_wait, NULL);
    int file = open(mark_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (dprintf(file, "%lld\n", (long long)now.tv_sec * 1000000000 + now.tv_nsec) <= 0)
        exit(1);
    raise(SIGKILL);
}

int main(int argc, char **argv)
{
    static int mine[ROWS];
    static int whole[ROWS * RANKS_MOST];
    int rank;
    int size;
    if (argc != 2 || MPI_Init(&argc, &argv) != MPI_SUCCESS)
        return 1;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int i = 0;; i++) {
        if (i == GATHERS_BEFORE && rank == size / 2)
            die(argv[1]);
        int code = MPI_Gather(mine, ROWS, MPI_INT, whole, ROWS, MPI_INT, 0, MPI_COMM_WORLD);
        if (code == MPI_SUCCESS)
            code = MPI_Barrier(MPI_COMM_WORLD);
        if (code != MPI_SUCCESS) {
            fprintf(stderr, "rank %d: a call returned %d\n", rank, code);
            return 2; /* a code came back: an MPI that tells its ranks */
        }
    }
}
