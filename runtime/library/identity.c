/* SPDX-License-Identifier: Apache-2.0 */
/* What `strings libmuster.so` says of itself, for whoever is handed a core dump. */
#include <muster/version.h>

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

MUSTER_API extern const char muster_library_identity[];
const char muster_library_identity[] = "libmuster " TEXT(MUSTER_VERSION_MAJOR) "." TEXT(
    MUSTER_VERSION_MINOR) "." TEXT(MUSTER_VERSION_PATCH);
