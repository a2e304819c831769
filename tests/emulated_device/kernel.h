/* SPDX-License-Identifier: Apache-2.0 */
/* NCCL's kernels, carried out on the CPU. The emulated runtime hands a launch over by the kernel's name and the
 * argument block; what the block points to is read in NCCL's own structures, as they are laid out in the
 * versions this was written for (nccl_layout.h), and in no other. */
#ifndef MUSTER_TESTS_EMULATED_KERNEL_H
#define MUSTER_TESTS_EMULATED_KERNEL_H

#include <stddef.h>

typedef struct emulated_launch {
    const char *kernel_name;
    const void *arguments; /* the argument block of the launch, copied at launch time */
    size_t argument_bytes;
    unsigned grid_x;
    unsigned block_x;
} emulated_launch;

/* Runs one launch to its end on the calling thread, the stream's worker. 0, or -1 and a sentence in message: a
 * kernel, an algorithm or a protocol that is not known. Returns early, 0, when the abort flag of the communicator
 * is raised; the connections of that communicator are of no use then. */
int emulated_kernel_run(const emulated_launch *launch, char *message, size_t message_bytes);

/* The argument block of a launch whose arguments came one by one, as cudaLaunchKernel takes them. Its bytes, or 0:
 * how this kernel's arguments are to be packed is not known, or block_bytes (64 do) are too few. */
enum { EMULATED_KERNEL_PACKED_BYTES_MAX = 64 };
size_t emulated_kernel_pack(const char *kernel_name, void *const *arguments, void *block,
                            size_t block_bytes);

/* Whether the structures of this NCCL version (22907 is 2.29.7) are known. */
int emulated_kernel_knows(int nccl_version);

#endif
