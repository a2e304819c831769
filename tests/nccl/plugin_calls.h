/* SPDX-License-Identifier: Apache-2.0 */
/* How often the plug-in has called NCCL: what it says it does, it does. */
#ifndef MUSTER_TESTS_NCCL_PLUGIN_CALLS_H
#define MUSTER_TESTS_NCCL_PLUGIN_CALLS_H

#include "transport/device.h"

typedef struct plugin_calls {
    int initialisations;
    int shrinks;
    int aborts;
} plugin_calls;

/* From now on calls of that device count in *calls; one device a process. */
void plugin_calls_count(muster_device *device, plugin_calls *calls);

#endif
