/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody on the wire: takes one TCP connection after the other, passes bytes on both ways, and can say
 * what the client said once more. */
#ifndef MUSTER_TEST_RELAY_H
#define MUSTER_TEST_RELAY_H

#include <stdbool.h>

typedef struct relay relay;

/* port: of the real thing on 127.0.0.1. */
relay *relay_start(int port);
int relay_port(const relay *of);
/* Everything that comes from the client next is passed on twice. */
void relay_repeat(relay *of);
void relay_stop(relay *of);

#endif
