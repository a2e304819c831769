/* SPDX-License-Identifier: Apache-2.0 */
/* The image: the whole training state in one piece, as the root makes it at the start, and as it goes
 * to and comes from a checkpoint. It does not depend on the number of ranks. */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdint.h>

#include "adam.h"
#include "experts.h"
#include "model.h"

struct image {
    real shared[ADAM_KINDS][MODEL_SHARED_COUNT];
    real experts[ADAM_KINDS][EXPERTS_COUNT];
};

/* Fresh parameters, moments zero. */
void image_init(uint64_t seed, struct image *image);

#endif
