/* SPDX-License-Identifier: Apache-2.0 */
/* A library that is no provider. */
#include <muster/export.h>

MUSTER_API int provider_empty_unrelated(void);

int provider_empty_unrelated(void)
{
    return 0;
}
