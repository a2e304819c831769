/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_LAUNCHER_STATUS_COMMAND_H
#define MUSTER_LAUNCHER_STATUS_COMMAND_H

/* `muster status ...`; returns the exit code. */
int muster_status_main(int argc, char **argv);

#endif
