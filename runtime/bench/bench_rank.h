/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_RUNTIME_BENCH_RANK_H
#define MUSTER_RUNTIME_BENCH_RANK_H

/* A rank of the benchmark of collectives; joins by its environment. Returns the exit code. */
int muster_bench_rank_main(void);

#endif
