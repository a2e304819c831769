/* SPDX-License-Identifier: Apache-2.0 */
/* A plug-in of another libmuster: its table's version is not ours, and nothing else of it may be looked at. */
#include "transport/device.h"

__attribute__((visibility("default"))) const muster_device_table *muster_device_plugin(void);
const muster_device_table *muster_device_plugin(void)
{
    static const muster_device_table table = {.table_version = MUSTER_DEVICE_TABLE_VERSION + 1};
    return &table;
}
