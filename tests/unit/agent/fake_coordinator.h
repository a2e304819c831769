/* SPDX-License-Identifier: Apache-2.0 */
/* A coordinator that does what a test says: a real ROUTER socket on a thread of its own, with none of
 * the rules. It keeps what it hears, in order, until the test asks for it. */
#ifndef MUSTER_TESTS_FAKE_COORDINATOR_H
#define MUSTER_TESTS_FAKE_COORDINATOR_H

#include "agent/agent.h"

/* A guard against hangs, not a bound that is tested. */
#define FAKE_PATIENCE_NS ((int64_t)20 * 1000000000)
#define FAKE_JOB "fake job"

typedef struct fake_coordinator fake_coordinator;

/* endpoint: tcp://127.0.0.1:* or an exact one (of a fake that was stopped), or ipc://PATH. Asserts. */
fake_coordinator *fake_start(const char *endpoint, uint64_t term);
void fake_stop(fake_coordinator *fake);
const char *fake_endpoint(const fake_coordinator *fake);

/* The deadlines of the tests: short heartbeats, so that tests are quick. */
muster_policy fake_policy(int32_t slot_count);

/* From now on each JOIN is answered by WELCOME; a spare stays one. Default: silence. */
void fake_welcome_all(fake_coordinator *fake, int32_t slot_count);

/* An empty message with the fake's job and term. */
muster_message fake_message(const fake_coordinator *fake, uint32_t type, int32_t slot,
                            uint64_t epoch);

/* Sends to the peer that spoke last for message->slot; takes the message over. Asserts that there
 * was one. */
void fake_send(fake_coordinator *fake, muster_message *message);
void fake_send_bytes(fake_coordinator *fake, int32_t slot, const void *bytes, size_t byte_count);

/* An AGREED of slots 0 .. member_count-1, each with its incarnation; and the other short ones. */
void fake_send_agreed(fake_coordinator *fake, int32_t slot, uint64_t epoch, int32_t member_count,
                      const uint32_t *incarnations);
/* The same to a peer that has no slot yet. */
void fake_send_agreed_to_spare(fake_coordinator *fake, int32_t slot, uint64_t epoch,
                               int32_t member_count, const uint32_t *incarnations);
void fake_send_established(fake_coordinator *fake, int32_t slot, uint64_t epoch);
void fake_send_revoke(fake_coordinator *fake, int32_t slot, uint64_t epoch, int32_t dead_slot,
                      uint32_t dead_incarnation);

/* The first message of this type that was not taken yet; waits for it. Asserts that it comes. The
 * caller cleans it up. */
muster_message fake_take(fake_coordinator *fake, uint32_t type);
/* How many of this type were heard and not taken. */
int fake_count(fake_coordinator *fake, uint32_t type);
/* Forgets what was heard so far. */
void fake_forget(fake_coordinator *fake);

/* An agent that is joined to the fake (which welcomes all) as slot. Asserts. */
muster_agent *fake_join(fake_coordinator *fake, int32_t slot);
muster_agent_options fake_options(const char *endpoint, int32_t slot);
int64_t fake_deadline(void); /* FAKE_PATIENCE_NS from now */
int64_t fake_now(void);

#endif
