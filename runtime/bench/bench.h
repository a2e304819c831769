/* SPDX-License-Identifier: Apache-2.0 */
/* `muster bench`: what Muster costs, next to what the machine allows, measured in one run. */
#ifndef MUSTER_RUNTIME_BENCH_H
#define MUSTER_RUNTIME_BENCH_H

/* Exit code: 0 measured (floors held or not: the lines say so), 2 usage, 1 a measurement failed. */
int muster_bench_main(int argc, char **argv);

#endif
