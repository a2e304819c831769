/* SPDX-License-Identifier: Apache-2.0 */
/* `muster run`: starts the ranks of a job, replaces those that die, and leaves nothing behind. */
#ifndef MUSTER_RECOVERY_LAUNCHER_H
#define MUSTER_RECOVERY_LAUNCHER_H

/* argv[0] is "run". Returns the exit code (launcher/run_options.h lists them). Owns the process: it
 * takes over signals and becomes the reaper of what it starts. */
int muster_launcher_main(int argc, char **argv);

#endif
