/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "transport/host/endpoint.h"
#include "transport/host/neighbours.h"

#define FIRST_NAP_NS (MUSTER_HOST_MILLISECOND_NS / 5)
#define LAST_NAP_NS (5 * MUSTER_HOST_MILLISECOND_NS)

static muster_status check_options(const muster_transport_connect_options *options,
                                   muster_error *error)
{
    if (options->member_count < 1 || options->own_rank < 0 ||
        options->own_rank >= options->member_count)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_ARGUMENT,
                                options->member_count, options->own_rank,
                                "own_rank: a rank below member_count %d was expected, %d came",
                                options->member_count, options->own_rank);
    return MUSTER_OK;
}

/* Where each member answers, and that all are on this host. */
static muster_status read_addresses(muster_transport *transport,
                                    const muster_transport_connect_options *options,
                                    muster_error *error)
{
    muster_host_address here;

    /* As this process has said it to the others: the kernel is asked through a file, and a process that has no
     * descriptor left would take everybody for another host's. */
    if (!muster_host_handover_parse(&options->members[options->own_rank].blob, &here))
        muster_host_handover_here(&here);
    for (int32_t rank = 0; rank < options->member_count; rank++) {
        const muster_transport_member *member = &options->members[rank];
        muster_host_address *address = &transport->peers[rank].address;

        if (!muster_host_handover_parse(&member->blob, address)) {
            muster_error_set(error, MUSTER_ERR_VERSION, MUSTER_FIELD_WIRE_VERSION, here.version, 0,
                             "rank %d (slot %d) did not send an address of host plane version %u; "
                             "run the same version of Muster on all ranks",
                             rank, member->slot, here.version);
            if (error != NULL)
                error->rank = rank;
            return MUSTER_ERR_VERSION;
        }
        if (memcmp(address->boot_id, here.boot_id, sizeof here.boot_id) != 0 ||
            address->network_namespace != here.network_namespace) {
            muster_error_set(error, MUSTER_ERR_UNSUPPORTED, MUSTER_FIELD_SLOT, 0, member->slot,
                             "rank %d (slot %d) runs on another host or in another network "
                             "namespace; the host plane joins ranks of one host that share one",
                             rank, member->slot);
            if (error != NULL)
                error->rank = rank;
            return MUSTER_ERR_UNSUPPORTED;
        }
    }
    return MUSTER_OK;
}

static muster_status not_connected(const muster_transport_connect_options *options, int32_t rank,
                                   muster_status status, muster_error *error)
{
    const char *why =
        status == MUSTER_ERR_TIMEOUT ? "before the deadline" : "before the epoch was revoked";

    muster_error_set(error, status, MUSTER_FIELD_NONE, 0, 0,
                     "rank %d (slot %d) did not connect %s; see what became of it", rank,
                     options->members[rank].slot, why);
    if (error != NULL)
        error->rank = rank;
    return status;
}

/* Members come for the segment, and this process cannot let them in: it is the one at fault. */
static muster_status in_want(const muster_transport *transport, int native_code,
                             muster_error *error)
{
    muster_error_set_errno(error, native_code,
                           "letting in the other ranks of this host (see how many files this "
                           "process has open, and `ulimit -n`)");
    if (error != NULL)
        error->rank = transport->own_rank;
    return native_code == ENOMEM ? MUSTER_ERR_NO_MEMORY : MUSTER_ERR_SYSTEM;
}

static muster_status refused(const muster_transport_connect_options *options, muster_status status,
                             muster_error *error)
{
    muster_error_set(error, status, MUSTER_FIELD_NONE, 0, 0,
                     "rank 0 (slot %d) refused to hand over the segment of epoch %llu: this rank "
                     "is no member of it, or of another job, user or version",
                     options->members[0].slot, (unsigned long long)options->epoch);
    if (error != NULL)
        error->rank = 0;
    return status;
}

/* Takes rank 0's answer. MUSTER_OK with *again set: ask once more. */
static muster_status take_answer(muster_transport *transport, const muster_host_segment_key *key,
                                 const muster_transport_connect_options *options,
                                 const muster_host_reply *reply, const int *fds, bool *again,
                                 muster_error *error)
{
    muster_status status = MUSTER_OK;

    if (reply->answer == MUSTER_HOST_ANSWER_OK && reply->fd_count == 1)
        status = muster_host_segment_open(fds[0], key, options->member_count, &transport->segment,
                                          error);
    else if (reply->answer == MUSTER_HOST_ANSWER_NOT_YET)
        *again = true;
    else
        status = refused(options,
                         reply->answer == MUSTER_HOST_ANSWER_REFUSED ? MUSTER_ERR_FOREIGN
                                                                     : MUSTER_ERR_VERSION,
                         error);
    for (uint32_t i = 0; i < reply->fd_count; i++)
        close(fds[i]);
    return status;
}

/* Asks rank 0 until it has made the segment. */
static muster_status fetch_segment(muster_transport *transport, const muster_host_segment_key *key,
                                   const muster_transport_connect_options *options,
                                   const muster_host_patience *patience, muster_error *error)
{
    const muster_transport_member *own = &options->members[options->own_rank];
    int64_t nap_ns = FIRST_NAP_NS;

    for (;;) {
        muster_host_request request = {.kind = MUSTER_HOST_REQUEST_SEGMENT,
                                       .rank = options->own_rank,
                                       .slot = own->slot,
                                       .incarnation = own->incarnation,
                                       .job = key->job,
                                       .epoch = key->epoch,
                                       .communicator = key->communicator};
        muster_host_reply reply;
        int fds[MUSTER_HOST_HANDOVER_FDS];
        int native_code;
        bool again = false;
        muster_status status = muster_host_handover_ask(&transport->peers[0].address, &request,
                                                        &reply, fds, patience, &native_code);

        switch (status) {
        case MUSTER_OK:
            status = take_answer(transport, key, options, &reply, fds, &again, error);
            if (!again)
                return status;
            break;
        case MUSTER_ERR_COMM_FAILED:
            break; /* nobody there now: leaving, or dead; the verdict will cancel */
        case MUSTER_ERR_TIMEOUT:
        case MUSTER_ERR_RANK_LOST:
            return not_connected(options, 0, status, error);
        case MUSTER_ERR_SYSTEM:
            return muster_error_set_errno(error, native_code, "fetching the segment from rank 0");
        default:
            return refused(options, status, error);
        }
        status = muster_host_patience_check(patience);
        if (status != MUSTER_OK)
            return not_connected(options, 0, status, error);
        muster_host_clock_nap(muster_host_patience_slice_ns(patience, nap_ns));
        nap_ns = nap_ns * 2 < LAST_NAP_NS ? nap_ns * 2 : LAST_NAP_NS;
    }
}

/* The lowest rank that is not here yet, or -1. */
static int32_t first_absent(const muster_transport *transport)
{
    for (int32_t rank = 0; rank < transport->member_count; rank++)
        if (atomic_load(&transport->segment.ranks[rank].arrived) == 0)
            return rank;
    return -1;
}

/* Says "here", and waits for everyone. */
static muster_status gather_members(muster_transport *transport,
                                    const muster_transport_connect_options *options,
                                    const muster_host_patience *patience, muster_error *error)
{
    muster_host_rank_lines *ranks = transport->segment.ranks;
    muster_host_doorbell *own = &ranks[transport->own_rank].doorbell;

    atomic_store(&ranks[transport->own_rank].arrived, 1);
    for (int32_t rank = 0; rank < transport->member_count; rank++)
        if (rank != transport->own_rank)
            muster_host_doorbell_ring(&ranks[rank].doorbell);
    for (;;) {
        uint32_t ticket = muster_host_doorbell_arm(own);
        int32_t absent = first_absent(transport);
        muster_status status = MUSTER_OK;
        int native_code = 0;

        if (absent >= 0) {
            muster_host_doorbell_sleep(
                own, ticket, muster_host_patience_slice_ns(patience, MUSTER_HOST_POLL_NS));
            absent = first_absent(transport);
            status = muster_host_patience_check(patience);
            native_code = muster_host_listener_in_want(&transport->endpoint->listener);
        }
        muster_host_doorbell_disarm(own);
        if (absent < 0)
            return MUSTER_OK;
        if (native_code != 0)
            return in_want(transport, native_code, error);
        if (status != MUSTER_OK)
            return not_connected(options, absent, status, error);
    }
}

static void connect_peers(muster_transport *transport)
{
    const muster_host_segment *segment = &transport->segment;
    int32_t own = transport->own_rank;

    muster_host_board_init(&transport->board, segment, own);
    for (int32_t rank = 0; rank < transport->member_count; rank++) {
        muster_host_peer *peer = &transport->peers[rank];

        if (rank == own)
            continue;
        peer->to = muster_host_segment_pair(segment, own, rank);
        peer->from = muster_host_segment_pair(segment, rank, own);
        muster_host_ring_init(&peer->outgoing, segment, own, rank);
        muster_host_ring_init(&peer->incoming, segment, rank, own);
    }
}

/* The segment, made or fetched; then everyone in it. */
static muster_status join(muster_transport *transport,
                          const muster_transport_connect_options *options, muster_error *error)
{
    const muster_host_segment_key key = {.job = transport->endpoint->options.job,
                                         .epoch = options->epoch,
                                         .communicator = options->communicator};
    const muster_host_patience patience = {.deadline_ns = options->deadline_ns,
                                           .cancelled = options->cancelled,
                                           .context = options->context};
    muster_host_offers *offers = &transport->endpoint->offers;
    muster_host_offer offer = {
        .key = key, .members = options->members, .member_count = options->member_count};
    muster_status status;

    status = options->own_rank == 0 ? muster_host_segment_create(&key, options->member_count,
                                                                 &transport->segment, error)
                                    : fetch_segment(transport, &key, options, &patience, error);
    if (status != MUSTER_OK)
        return status;
    connect_peers(transport);
    offer.fd = transport->segment.mapping.fd;
    if (options->own_rank == 0)
        muster_host_offers_add(offers, &offer);
    /* Before saying "here": nobody leaves connect, and could die unwatched, until all have done this. */
    if (options->watch_peers)
        muster_host_neighbours_watch(transport, options);
    muster_host_endpoint_add(transport->endpoint, transport);
    status = gather_members(transport, options, &patience, error);
    if (options->own_rank == 0) {
        muster_host_offers_withdraw(offers, &offer);
        /* Everyone has it: nobody can get it any more. */
        muster_host_mapping_close_fd(&transport->segment.mapping);
    }
    if (status != MUSTER_OK)
        muster_host_endpoint_remove(transport->endpoint, transport);
    return status;
}

static void free_transport(muster_transport *transport)
{
    if (transport->segment.mapping.memory != NULL)
        muster_host_segment_close(&transport->segment);
    muster_host_batch_clean_up(&transport->batch);
    free(transport->peers);
    free(transport);
}

muster_status muster_host_connection_open(muster_transport_endpoint *endpoint,
                                          const muster_transport_connect_options *options,
                                          muster_transport **opened, muster_error *error)
{
    muster_transport *transport;
    muster_status status = check_options(options, error);

    *opened = NULL;
    if (status != MUSTER_OK)
        return status;
    transport = calloc(1, sizeof *transport);
    if (transport != NULL)
        transport->peers = calloc((size_t)options->member_count, sizeof *transport->peers);
    if (transport == NULL || transport->peers == NULL) {
        free(transport);
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a connection of %d ranks", options->member_count);
    }
    transport->endpoint = endpoint;
    transport->own_rank = options->own_rank;
    transport->member_count = options->member_count;
    transport->segment.mapping = MUSTER_HOST_MAPPING_NONE;
    status = muster_host_batch_init(&transport->batch, transport, error);
    if (status == MUSTER_OK)
        status = read_addresses(transport, options, error);
    if (status == MUSTER_OK)
        status = join(transport, options, error);
    if (status != MUSTER_OK) {
        free_transport(transport);
        return status;
    }
    *opened = transport;
    return muster_error_set_ok(error);
}

void muster_host_connection_close(muster_transport *transport)
{
    muster_host_endpoint_remove(transport->endpoint, transport);
    for (int32_t rank = 0; rank < transport->member_count; rank++)
        muster_host_imports_clean_up(&transport->peers[rank].imports);
    free_transport(transport);
}
