/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include <string.h>

void image_init(uint64_t seed, struct image *image)
{
    memset(image, 0, sizeof *image);
    model_init(seed, image->shared[ADAM_VALUE]);
    experts_init(seed, image->experts[ADAM_VALUE]);
}
