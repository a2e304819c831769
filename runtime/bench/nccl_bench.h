/* SPDX-License-Identifier: Apache-2.0 */
/* `muster bench nccl`: what the device plane adds to the NCCL calls that it makes. */
#ifndef MUSTER_RUNTIME_BENCH_NCCL_H
#define MUSTER_RUNTIME_BENCH_NCCL_H

/* How often what is counted is done. */
#define MUSTER_NCCL_BENCH_BATCHES 25

/* argv[0] is "nccl". Exit code as muster_bench_main's. */
int muster_nccl_bench_main(int argc, char **argv);
/* A rank of it: argv[0] is "nccl-rank". Joins by its environment. */
int muster_nccl_bench_rank_main(int argc, char **argv);

#endif
