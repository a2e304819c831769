/* SPDX-License-Identifier: Apache-2.0 */
/* What the coordinator knows, copied for its HTTP side; on the coordinator's thread. */
#ifndef MUSTER_COORDINATOR_PUBLISH_H
#define MUSTER_COORDINATOR_PUBLISH_H

#include "coordinator/serving.h"

/* Gives an overview where one is wanted. */
void muster_publish_turn(muster_coordinator *coordinator);

#endif
