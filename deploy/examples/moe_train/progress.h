/* SPDX-License-Identifier: Apache-2.0 */
/* How far the training is: what the state of every slot and the checkpoint say besides parameters. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdint.h>

struct progress {
    uint64_t steps_done;
    double loss;         /* of step steps_done; meaningless at 0 */
    uint64_t generation; /* grows when a new job takes over a checkpoint; see checkpoint.h */
};

#endif
