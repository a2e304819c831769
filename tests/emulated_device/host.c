/* SPDX-License-Identifier: Apache-2.0 */
/* Over sockets, every process takes part as a host of its own. NCCL reads the number of its host from the
 * environment, once, at its first communicator; its kernels are registered before, when it is loaded. */
#include "emulated.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOST_MARK "emulated-process-"

void emulated_host_choose(void)
{
    const char *over = getenv("MUSTER_EMULATED_OVER");
    const char *host = getenv("NCCL_HOSTID");
    /* One that carries our mark is the parent's, inherited. */
    if (over == NULL || strcmp(over, "net") != 0 ||
        (host != NULL && strncmp(host, HOST_MARK, strlen(HOST_MARK)) != 0)) {
        return;
    }
    char own[64];
    snprintf(own, sizeof own, HOST_MARK "%d", (int)getpid());
    if (host == NULL || strcmp(host, own) != 0) {
        setenv("NCCL_HOSTID", own, 1);
    }
}
