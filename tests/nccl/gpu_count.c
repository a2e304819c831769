/* SPDX-License-Identifier: Apache-2.0 */
/* Prints how many devices the CUDA runtime gives this process: what nvidia-smi lists may be more, with
 * CUDA_VISIBLE_DEVICES or with a GPU that is divided. Exit code 1, and why on stdout, where it cannot be asked. */
#include <stdio.h>

#include "public_api.h"

int main(void)
{
    int runtime = 0, driver = 0, count = 0;
    const cuda_error error = cudaGetDeviceCount(&count);
    if (error == CUDA_SUCCESS || error == CUDA_NO_DEVICE) {
        printf("%d\n", count);
        return 0;
    }
    (void)cudaRuntimeGetVersion(&runtime);
    (void)cudaDriverGetVersion(&driver);
    printf("CUDA runtime %d.%d, driver for CUDA %d.%d: %s\n", runtime / 1000, runtime / 10 % 100,
           driver / 1000, driver / 10 % 100, cudaGetErrorString(error));
    return 1;
}
