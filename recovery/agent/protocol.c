/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/protocol.h"

#include <string.h>

#include "base/error.h"

void muster_protocol_init(muster_protocol *protocol, const muster_protocol_identity *identity)
{
    memset(protocol, 0, sizeof *protocol);
    protocol->identity = *identity;
    protocol->blob = identity->blob;
    protocol->join_pending = true;
    atomic_init(&protocol->slot, identity->slot);
    atomic_init(&protocol->incarnation, identity->incarnation);
    atomic_init(&protocol->term, 0);
    atomic_init(&protocol->epoch, 0);
    atomic_init(&protocol->revoked_epoch, 0);
    atomic_init(&protocol->standing, MUSTER_OK);
    muster_activity_init(&protocol->marks);
    muster_outbox_init(&protocol->outbox);
    muster_deaths_init(&protocol->deaths);
    muster_error_init(&protocol->refused);
}

void muster_protocol_clean_up(muster_protocol *protocol)
{
    muster_message_clean_up(&protocol->agreed);
    muster_outbox_clean_up(&protocol->outbox);
    muster_deaths_clean_up(&protocol->deaths);
}

muster_message muster_protocol_header(const muster_protocol *protocol, uint32_t type)
{
    muster_message message;
    memset(&message, 0, sizeof message);
    message.type = type;
    message.job = protocol->identity.job;
    message.term = atomic_load(&protocol->term);
    message.epoch = atomic_load(&protocol->epoch);
    message.slot = (int32_t)atomic_load(&protocol->slot);
    message.incarnation = (uint32_t)atomic_load(&protocol->incarnation);
    return message;
}

bool muster_protocol_revoked(const muster_protocol *protocol, uint64_t epoch)
{
    return atomic_load(&protocol->revoked_epoch) >= epoch;
}

muster_status muster_protocol_standing(const muster_protocol *protocol)
{
    return (muster_status)atomic_load(&protocol->standing);
}

static bool protocol_out(const muster_protocol *protocol, muster_status *status)
{
    bool out = muster_protocol_standing(protocol) != MUSTER_OK;
    *status = out ? protocol->ending : MUSTER_OK;
    return out;
}

bool muster_protocol_agreed(const muster_protocol *protocol, uint64_t after_epoch,
                            muster_status *status)
{
    return protocol_out(protocol, status) || atomic_load(&protocol->epoch) > after_epoch;
}

bool muster_protocol_established(const muster_protocol *protocol, uint64_t epoch,
                                 muster_status *status)
{
    if (protocol_out(protocol, status)) {
        return true;
    }
    if (muster_protocol_revoked(protocol, epoch)) {
        *status = MUSTER_ERR_RANK_LOST;
        return true;
    }
    return protocol->established_epoch >= epoch;
}

void muster_protocol_quiet(muster_protocol *protocol, uint64_t epoch, uint64_t released_ns,
                           const muster_blob *blob, const muster_holding *holdings,
                           int32_t holding_count)
{
    muster_message borrowed = muster_protocol_header(protocol, MUSTER_MESSAGE_QUIET);
    borrowed.epoch = epoch;
    borrowed.u.quiet.released_ns = released_ns;
    borrowed.u.quiet.members_epoch = atomic_load(&protocol->epoch);
    borrowed.u.quiet.blob = *blob;
    borrowed.u.quiet.holding_count = holding_count;
    borrowed.u.quiet.holdings = (muster_holding *)holdings; /* only read, by the copy below */
    muster_message quiet;
    if (!muster_message_copy(&quiet, &borrowed)) {
        /* Without its holdings the rest still lets the others go on; states held here alone are
         * then lost, which the restore point says. */
        quiet = borrowed;
        quiet.u.quiet.holding_count = 0;
        quiet.u.quiet.holdings = NULL;
    }
    protocol->blob = *blob;
    /* Later epochs that were revoked before this rank heard of them: it is in none of them. */
    if (atomic_load(&protocol->revoked_epoch) > quiet.epoch &&
        atomic_load(&protocol->epoch) <= quiet.epoch) {
        quiet.epoch = atomic_load(&protocol->revoked_epoch);
    }
    (void)muster_outbox_put(&protocol->outbox, &quiet);
}

bool muster_protocol_connected(muster_protocol *protocol, uint64_t epoch)
{
    muster_message connected = muster_protocol_header(protocol, MUSTER_MESSAGE_CONNECTED);
    connected.epoch = epoch;
    muster_activity_forget_last(&protocol->marks);
    return muster_outbox_put(&protocol->outbox, &connected);
}

void muster_protocol_report(muster_protocol *protocol, muster_message *message)
{
    (void)muster_outbox_put(&protocol->outbox, message);
}

void muster_protocol_leave(muster_protocol *protocol)
{
    protocol->leaving = true;
    protocol->leave_due_ns = 0;
}

bool muster_protocol_left(const muster_protocol *protocol)
{
    muster_status standing = muster_protocol_standing(protocol);
    return protocol->goodbye || standing == MUSTER_ERR_FENCED || standing == MUSTER_ERR_GAVE_UP;
}
