/* SPDX-License-Identifier: Apache-2.0 */
/* What the emulated runtime sees of an NCCL whose version it does not know. */
#include "public_api.h"

EMULATED_API int ncclGetVersion(int *version);
EMULATED_API extern const char other_kernel;
const char other_kernel = 0;
static void **handle;

int ncclGetVersion(int *version)
{
    *version = 29901;
    return 0;
}

__attribute__((constructor)) static void register_kernel(void)
{
    static char binary;
    handle = __cudaRegisterFatBinary(&binary);
    __cudaRegisterFunction(handle, &other_kernel, NULL,
                           "ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)", -1, NULL,
                           NULL, NULL, NULL, NULL);
}

__attribute__((destructor)) static void unregister_kernel(void)
{
    __cudaUnregisterFatBinary(handle);
}
