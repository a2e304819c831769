/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUSTER_COORDINATOR_KEYS_COMMAND_H
#define MUSTER_COORDINATOR_KEYS_COMMAND_H

/* `muster keys ...`; returns the exit code. */
int muster_keys_main(int argc, char **argv);

#endif
