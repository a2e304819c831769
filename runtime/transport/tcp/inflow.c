/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/inflow.h"

#include <string.h>

#include "base/assert.h"

void muster_tcp_inflow_init(muster_tcp_inflow *inflow, uint64_t epoch, uint64_t communicator)
{
    memset(inflow, 0, sizeof *inflow);
    inflow->epoch = epoch;
    inflow->communicator = communicator;
}

static void enter(muster_tcp_inflow *inflow, muster_tcp_inflow_state state)
{
    inflow->state = state;
    inflow->taken = 0;
}

static void break_off(muster_tcp_inflow *inflow, const char *fault)
{
    enter(inflow, MUSTER_TCP_INFLOW_BROKEN);
    inflow->fault = fault;
}

static uint8_t *place_of(const muster_tcp_inflow *inflow, uint64_t round)
{
    return inflow->places[round % MUSTER_TCP_BOARD_PLACES];
}

/* A DATA and its RECEIVE have met. */
static void check_data(muster_tcp_inflow *inflow)
{
    if (inflow->state == MUSTER_TCP_INFLOW_DATA && inflow->data != NULL &&
        inflow->data_bytes != inflow->header.bytes)
        break_off(inflow, "data of another length than was agreed");
}

static void begin_round(muster_tcp_inflow *inflow)
{
    if (inflow->header.sequence != inflow->round + 1)
        break_off(inflow, "a round out of its turn");
    else if (inflow->header.sequence > inflow->own_posted + 1)
        /* Its place may still be read: nobody can have completed the round before without our post. */
        break_off(inflow, "a round that nobody can have reached");
    else
        enter(inflow, MUSTER_TCP_INFLOW_ROUND);
}

static void begin_data(muster_tcp_inflow *inflow)
{
    if (inflow->header.sequence != inflow->sequence + 1) {
        break_off(inflow, "data out of its turn");
        return;
    }
    inflow->sequence++;
    enter(inflow, MUSTER_TCP_INFLOW_DATA);
    check_data(inflow);
}

static void judge_header(muster_tcp_inflow *inflow)
{
    muster_tcp_header *header = &inflow->header;

    if (muster_tcp_header_decode(inflow->bytes, header) != MUSTER_TCP_HEADER_OK) {
        break_off(inflow, "no frame of this version of Muster");
        return;
    }
    if (header->epoch != inflow->epoch || header->communicator != inflow->communicator) {
        break_off(inflow, "a frame of another epoch or communicator");
        return;
    }
    switch (header->kind) {
    case MUSTER_TCP_ROUND:
        begin_round(inflow);
        return;
    case MUSTER_TCP_DATA:
        begin_data(inflow);
        return;
    case MUSTER_TCP_BYE:
        enter(inflow, MUSTER_TCP_INFLOW_ENDED);
        return;
    default:
        break_off(inflow, "a greeting on a live connection");
    }
}

uint8_t *muster_tcp_inflow_where(const muster_tcp_inflow *inflow, size_t *bytes)
{
    switch (inflow->state) {
    case MUSTER_TCP_INFLOW_HEADER:
        *bytes = MUSTER_TCP_HEADER_BYTES - inflow->taken;
        return (uint8_t *)inflow->bytes + inflow->taken;
    case MUSTER_TCP_INFLOW_ROUND:
        *bytes = MUSTER_ROUND_BYTES - inflow->taken;
        return place_of(inflow, inflow->header.sequence) + inflow->taken;
    case MUSTER_TCP_INFLOW_DATA:
        if (inflow->data == NULL)
            break;
        *bytes = inflow->data_bytes - inflow->taken;
        return inflow->data + inflow->taken;
    case MUSTER_TCP_INFLOW_ENDED:
    case MUSTER_TCP_INFLOW_BROKEN:
        break;
    }
    *bytes = 0;
    return NULL;
}

void muster_tcp_inflow_took(muster_tcp_inflow *inflow, size_t bytes)
{
    size_t wanted;

    MUSTER_ASSERT(muster_tcp_inflow_where(inflow, &wanted) != NULL && bytes <= wanted);
    inflow->taken += bytes;
    if (bytes < wanted)
        return;
    switch (inflow->state) {
    case MUSTER_TCP_INFLOW_HEADER:
        judge_header(inflow);
        return;
    case MUSTER_TCP_INFLOW_ROUND:
        inflow->round = inflow->header.sequence;
        enter(inflow, MUSTER_TCP_INFLOW_HEADER);
        return;
    case MUSTER_TCP_INFLOW_DATA:
        inflow->data = NULL;
        inflow->received = true;
        enter(inflow, MUSTER_TCP_INFLOW_HEADER);
        return;
    case MUSTER_TCP_INFLOW_ENDED:
    case MUSTER_TCP_INFLOW_BROKEN:
        MUSTER_ASSERT(!"nothing is taken any more");
    }
}

void muster_tcp_inflow_posted(muster_tcp_inflow *inflow, uint64_t round)
{
    inflow->own_posted = round;
}

void muster_tcp_inflow_expect(muster_tcp_inflow *inflow, void *data, size_t bytes)
{
    MUSTER_ASSERT(inflow->data == NULL && bytes > 0);
    inflow->data = data;
    inflow->data_bytes = bytes;
    inflow->received = false;
    check_data(inflow);
}

void muster_tcp_inflow_forget(muster_tcp_inflow *inflow)
{
    inflow->data = NULL;
    if (inflow->state == MUSTER_TCP_INFLOW_DATA)
        break_off(inflow, "its batch was given up");
}
