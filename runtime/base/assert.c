/* SPDX-License-Identifier: Apache-2.0 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void muster_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr,
            "muster: internal error, please report it: assertion (%s) failed at %s:%d; "
            "this process ends here rather than move wrong bytes\n",
            expression, file, line);
    abort();
}
