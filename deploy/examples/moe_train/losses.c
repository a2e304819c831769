/* SPDX-License-Identifier: Apache-2.0 */
#include "losses.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool losses_append(const char *path, const struct progress *progress)
{
    if (path == NULL) {
        return true;
    }
    FILE *file = fopen(path, "ae");
    bool good = file != NULL && fprintf(file, "%llu %a\n", (unsigned long long)progress->steps_done,
                                        progress->loss) > 0;
    if (file != NULL) {
        good = fclose(file) == 0 && good;
    }
    if (!good) {
        fprintf(stderr, "moe_train: the losses file '%s' cannot be written: %s\n", path,
                strerror(errno));
    }
    return good;
}
