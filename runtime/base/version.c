/* SPDX-License-Identifier: Apache-2.0 */
#include <muster/version.h>

uint32_t muster_version(void)
{
    return MUSTER_VERSION;
}
