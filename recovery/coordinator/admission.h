/* SPDX-License-Identifier: Apache-2.0 */
/* Which messages reach a core, and what of its answers goes out: the key's job, the key's slots, one
 * process a connection. Refuses, counts and answers by itself. */
#ifndef MUSTER_COORDINATOR_ADMISSION_H
#define MUSTER_COORDINATOR_ADMISSION_H

#include "coordinator/serving.h"

/* Whether the sender's key may take part in the message's job. Before the job is looked for. */
bool muster_admission_key(muster_coordinator *coordinator, muster_peer *peer,
                          const muster_message *message);
/* False: a rank of a job that is over by now, of whatever name. Before the job is looked for, or made. */
bool muster_admission_epoch(muster_coordinator *coordinator, const muster_peer *peer,
                            const muster_message *message);
/* Whether it may say this in it. */
bool muster_admission_hear(muster_coordinator *coordinator, muster_hosted_job *job,
                           muster_peer *peer, const muster_message *message);
/* What the core says shows what it believed: that is what keys hold. event: what it was told. False: not
 * to be said. */
bool muster_admission_say(muster_coordinator *coordinator, muster_hosted_job *job,
                          const muster_core_event *event, const muster_core_action *action);

#endif
