/* SPDX-License-Identifier: Apache-2.0 */
/* `muster bench recovery`: real ranks, one of which kills itself while the others wait in a batch. */
#ifndef MUSTER_RECOVERY_BENCH_H
#define MUSTER_RECOVERY_BENCH_H

/* argv[0] is "recovery". Exit code as muster_bench_main. */
int muster_recovery_bench_main(int argc, char **argv);

/* One rank of it; joins by its environment, takes the rest from MUSTER_BENCH_*. */
int muster_recovery_bench_rank_main(void);

#endif
