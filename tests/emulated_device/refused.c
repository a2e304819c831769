/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that NCCL refers to and that nothing here needs: each says its name and fails. A call that is not even
 * here fails louder, since the loader does not find it. */
#include "emulated.h"

#define REFUSE(name) \
    EMULATED_API cuda_error name(void); \
    cuda_error name(void) \
    { \
        return emulated_error_refuse(#name, "not emulated"); \
    }

REFUSE(cudaIpcGetMemHandle)
REFUSE(cudaIpcOpenMemHandle)
REFUSE(cudaIpcCloseMemHandle)
REFUSE(cudaGraphAddDependencies)
REFUSE(cudaGraphAddDependencies_v2)
REFUSE(cudaGraphAddEventRecordNode)
REFUSE(cudaStreamUpdateCaptureDependencies_v2)
REFUSE(cudaMallocManaged)
REFUSE(cudaMemcpyPeer)
REFUSE(cudaMemcpyPeerAsync)
REFUSE(cudaGraphInstantiate)
REFUSE(cudaGraphLaunch)
REFUSE(cudaEventElapsedTime)
