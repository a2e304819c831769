/* SPDX-License-Identifier: Apache-2.0 */
/* `muster postmortem DIR [--json]`: what the traces of a job say the morning after. */
#ifndef MUSTER_TRACING_POSTMORTEM_H
#define MUSTER_TRACING_POSTMORTEM_H

/* argv[0] is "postmortem". 0: findings were printed; 1: usage; 2: DIR is missing, empty or damaged
 * (a sentence on stderr). */
int muster_postmortem_main(int argc, char **argv);

#endif
