/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/device_side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/error.h"
#include "collective/device_offer.h"
#include "comm/clock.h"
#include "comm/comm.h"

_Static_assert(sizeof(muster_device_offer) <= MUSTER_ROUND_BYTES, "an offer fits a round");
_Static_assert(MUSTER_DEVICE_OFFER_ID_BYTES == MUSTER_DEVICE_ID_BYTES, "an id fits an offer");

/* How often a round that is not complete looks for a revoke and its deadline. */
#define LOOK_NS INT64_C(10000000)
/* How long, in graces of a verdict, a rank may be inside the native library after others have come out. */
#define STRAGGLE_GRACES 5

/* One rank's work on one connection. */
typedef struct connecting {
    muster_comm *comm;
    const muster_device_table *table;
    muster_device *device;
    const muster_device_side_options *options;
    int32_t id_count;
    muster_device_offer offer; /* what this rank says next */
    const void *offers;        /* what all have said, of the last round */
    muster_device_plan plan;
    int64_t
        others_ended_ns; /* since when somebody's work for this stage has ended; 0: nobody's has */
} connecting;

static bool cancelled(const connecting *self)
{
    return self->options->cancelled(self->options->context);
}

static muster_status say_lost(const connecting *self, muster_error *error)
{
    return muster_error_set(error, MUSTER_ERR_RANK_LOST, MUSTER_FIELD_EPOCH, 0,
                            (int64_t)self->comm->epoch,
                            "epoch %llu was revoked while its devices connected",
                            (unsigned long long)self->comm->epoch);
}

static muster_status say_late(const connecting *self, muster_error *error)
{
    muster_comm *comm = self->comm;
    comm->job->table->round_missing(comm->transport, comm->round, &comm->missing);
    int32_t rank = muster_rank_set_next(&comm->missing, 0);
    muster_error_set(error, MUSTER_ERR_TIMEOUT, MUSTER_FIELD_TIMEOUT, comm->size,
                     comm->size - muster_rank_set_count(&comm->missing),
                     "connecting communicator 0x%llx still waits for rank %d",
                     (unsigned long long)comm->id, rank);
    if (error != NULL)
        error->rank = rank;
    return MUSTER_ERR_TIMEOUT;
}

/* Posts what this rank says and waits for everyone's. Nobody else uses the transport yet. */
static muster_status exchange(connecting *self, muster_device_stage stage, muster_error *error)
{
    muster_comm *comm = self->comm;
    const muster_transport_table *table = comm->job->table;
    unsigned char payload[MUSTER_ROUND_BYTES] = {0};
    self->offer.stage = (uint32_t)stage;
    memcpy(payload, &self->offer, sizeof(self->offer));
    uint64_t round = ++comm->round;
    table->round_post(comm->transport, round, payload);
    for (;;) {
        uint32_t ticket = table->arm(comm->transport);
        self->offers = table->round_poll(comm->transport, round);
        bool lost = self->offers == NULL && cancelled(self);
        int64_t left_ns = self->options->deadline_ns - muster_clock_now_ns();
        if (self->offers == NULL && !lost && left_ns > 0)
            table->sleep(comm->transport, ticket, left_ns < LOOK_NS ? left_ns : LOOK_NS);
        table->disarm(comm->transport);
        if (self->offers != NULL)
            break;
        if (lost)
            return say_lost(self, error);
        if (left_ns <= 0)
            return say_late(self, error);
    }
    self->plan = muster_device_plan_of(self->offers, MUSTER_ROUND_BYTES, comm->size, error);
    return self->plan.status;
}

/* The own failure goes into the next round, so that all return it. */
static void tell(connecting *self, muster_status status, const muster_error *error)
{
    muster_device_offer *offer = &self->offer;
    offer->status = (int32_t)status;
    offer->field = (int32_t)error->field;
    offer->expected = error->expected;
    offer->came = error->came;
    offer->native_code = error->native_code;
    muster_error_shorten(offer->text, sizeof(offer->text),
                         status == MUSTER_OK ? "" : error->message);
}

/* ---- shrinking ---- */

static bool same_member(const muster_member *one, const muster_member *other)
{
    return one->slot == other->slot && one->incarnation == other->incarnation;
}

/* The parent's ranks that are not in the new epoch, ascending, into excluded (room for parent_size). -1
 * where the new epoch is not the parent's order without some. */
static int32_t find_excluded(const muster_comm *comm, int32_t *excluded)
{
    const muster_device_side *side = &comm->device;
    int32_t count = 0;
    int32_t next = 0;
    for (int32_t rank = 0; rank < side->parent_size; rank++) {
        if (next < comm->size && same_member(&side->parent_members[rank], &comm->members[next]))
            next++;
        else
            excluded[count++] = rank;
    }
    return next == comm->size ? count : -1;
}

static bool could_shrink(const connecting *self)
{
    const muster_comm *comm = self->comm;
    const muster_device_side *side = &comm->device;
    if (side->parent == NULL || !self->table->can_shrink(side->parent))
        return false;
    int32_t *excluded = calloc((size_t)side->parent_size, sizeof(*excluded));
    if (excluded == NULL)
        return false; /* connecting anew needs less */
    int32_t count = find_excluded(comm, excluded);
    free(excluded);
    return count > 0;
}

/* While this rank is inside the native library: a revoke, or that it waits for somebody who has given up
 * already, and said so in the round that follows. Nobody can end well long before the last one does. */
static bool in_vain(void *context)
{
    connecting *self = context;
    muster_comm *comm = self->comm;
    if (cancelled(self))
        return true;
    comm->job->table->round_missing(comm->transport, comm->round + 1, &comm->missing);
    if (muster_rank_set_count(&comm->missing) == comm->size)
        return false;
    int64_t now_ns = muster_clock_now_ns();
    if (self->others_ended_ns == 0)
        self->others_ended_ns = now_ns;
    return now_ns - self->others_ended_ns >
           STRAGGLE_GRACES * comm->job->policy.deadlines.verdict_grace_ns;
}

static muster_device_connect_options connect_options(connecting *self)
{
    self->others_ended_ns = 0;
    const muster_comm *comm = self->comm;
    /* The last tenth is for the round that says what came of it. */
    int64_t now_ns = muster_clock_now_ns();
    int64_t left_ns = self->options->deadline_ns - now_ns;
    return (muster_device_connect_options){
        .epoch = comm->epoch,
        .communicator = comm->id,
        .own_rank = comm->rank,
        .rank_count = comm->size,
        .deadline_ns = now_ns + (left_ns > 0 ? left_ns / 10 * 9 : 0),
        .cancelled = in_vain,
        .context = self,
    };
}

static muster_status forget_parent(connecting *self, muster_error *error)
{
    muster_device_side *side = &self->comm->device;
    if (side->parent == NULL)
        return MUSTER_OK;
    muster_status status = muster_device_plane_note(&self->comm->job->device,
                                                    self->table->comm_close(side->parent, error));
    side->parent = NULL;
    free(side->parent_members);
    side->parent_members = NULL;
    side->parent_epoch = 0;
    return status == MUSTER_ERR_DEVICE_STUCK ? status : MUSTER_OK;
}

/* The round in which all learn what came of each one's work on `made`. Keeps it where all have done it. */
static muster_status confirm(connecting *self, muster_device_stage stage, muster_status own,
                             muster_error *own_error, muster_device_comm *made, muster_error *error)
{
    muster_status status = own;
    if (own == MUSTER_ERR_RANK_LOST && cancelled(self)) {
        say_lost(self, error); /* a revoke: the others hear it as well */
    } else {
        self->offer.gave_up = own == MUSTER_ERR_RANK_LOST;
        if (own == MUSTER_ERR_RANK_LOST)
            own = muster_error_set(own_error, MUSTER_ERR_TIMEOUT, MUSTER_FIELD_TIMEOUT, 0, 0,
                                   "the others had ended without this rank");
        tell(self, own, own_error);
        status = exchange(self, stage, error);
        self->offer.gave_up = 0;
    }
    if (status == MUSTER_OK) {
        self->comm->device.live = made;
        return MUSTER_OK;
    }
    if (made != NULL &&
        muster_device_plane_note(&self->comm->job->device, self->table->comm_close(made, NULL)) ==
            MUSTER_ERR_DEVICE_STUCK)
        return muster_error_set(error, MUSTER_ERR_DEVICE_STUCK, MUSTER_FIELD_DEVICE, 0, 0, "%s; %s",
                                muster_status_text(MUSTER_ERR_DEVICE_STUCK),
                                muster_advice_text(muster_status_advice(MUSTER_ERR_DEVICE_STUCK)));
    return status;
}

static muster_status shrink(connecting *self, muster_error *error)
{
    muster_comm *comm = self->comm;
    muster_device_side *side = &comm->device;
    muster_device_connect_options options = connect_options(self);
    muster_device_comm *made = NULL;
    muster_error own_error;
    muster_error_init(&own_error);
    muster_status own;
    int32_t *excluded = calloc((size_t)side->parent_size, sizeof(*excluded));
    if (excluded == NULL) {
        own = muster_error_set(&own_error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                               "no memory to shrink a communicator");
    } else {
        int32_t count = find_excluded(comm, excluded);
        MUSTER_ASSERT(count > 0); /* could_shrink */
        own = self->table->shrink(side->parent, excluded, count, &options, &made, &own_error);
    }
    free(excluded);
    return confirm(self, MUSTER_DEVICE_STAGE_SHRUNK, own, &own_error, made, error);
}

/* After a shrink that some could not do: all let go of what they had, and connect anew. */
static muster_status start_over(connecting *self, muster_error *error)
{
    muster_device_plane *plane = &self->comm->job->device;
    muster_status status = muster_device_plane_abort(plane, false, error);
    if (status == MUSTER_OK)
        status = forget_parent(self, error);
    if (status == MUSTER_OK)
        muster_device_plane_enter(plane, self->comm->epoch);
    return status;
}

/* ---- connecting anew ---- */

static bool makes_id(const connecting *self)
{
    const muster_comm *comm = self->comm;
    for (int32_t id = 0; id < self->id_count; id++)
        if (self->table->id_root(id, self->id_count, comm->size) == comm->rank)
            return true;
    return false;
}

static void make_id(connecting *self)
{
    muster_device_id id;
    muster_error error;
    muster_error_init(&error);
    if (self->offer.makes_id == 0)
        return;
    muster_status status = self->table->make_id(self->device, &id, &error);
    tell(self, status, &error);
    if (status != MUSTER_OK)
        return;
    memcpy(self->offer.id, id.data, sizeof(self->offer.id));
    self->offer.has_id = 1;
}

static muster_device_id *collect_ids(const connecting *self)
{
    MUSTER_ASSERT(self->id_count > 0);
    muster_device_id *ids = calloc((size_t)self->id_count, sizeof(*ids));
    for (int32_t i = 0; ids != NULL && i < self->id_count; i++) {
        int32_t root = self->table->id_root(i, self->id_count, self->comm->size);
        memcpy(ids[i].data, muster_device_offer_of(self->offers, MUSTER_ROUND_BYTES, root)->id,
               sizeof(ids[i].data));
    }
    return ids;
}

static muster_status connect_anew(connecting *self, muster_error *error)
{
    muster_device_connect_options options = connect_options(self);
    muster_device_comm *made = NULL;
    muster_error own_error;
    muster_error_init(&own_error);
    muster_device_id *ids = collect_ids(self);
    muster_status own;
    if (ids == NULL) {
        own = muster_error_set(&own_error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                               "no memory for %d ids", self->id_count);
    } else {
        options.ids = ids;
        options.id_count = self->id_count;
        own = self->table->connect(self->device, &options, &made, &own_error);
    }
    free(ids);
    return confirm(self, MUSTER_DEVICE_STAGE_CONNECTED, own, &own_error, made, error);
}

/* ---- all of it ---- */

static muster_status connect_devices(connecting *self, muster_error *error)
{
    muster_status status = MUSTER_OK;
    if (self->plan.shrink) {
        muster_error shrink_error;
        muster_error_init(&shrink_error);
        status = shrink(self, &shrink_error);
        if (status == MUSTER_OK)
            return forget_parent(self, error);
        /* Not agreed upon: this rank is cut off, late, or stuck. */
        if (self->plan.status == MUSTER_OK || status != self->plan.status) {
            muster_error_copy(error, &shrink_error);
            return status;
        }
        status = start_over(self, error);
    } else {
        status = forget_parent(self, error);
    }
    if (status != MUSTER_OK)
        return status; /* stuck: the others hear of it when this process ends */
    if (!self->plan.ids_complete || self->offer.stage != MUSTER_DEVICE_STAGE_OFFER) {
        muster_error none;
        muster_error_init(&none);
        tell(self, MUSTER_OK, &none);
        make_id(self);
        status = exchange(self, MUSTER_DEVICE_STAGE_IDS, error);
        if (status != MUSTER_OK)
            return status;
    }
    return connect_anew(self, error);
}

/* A native call that fails is often how a death shows first: its verdict gets a moment to come. */
static muster_status explain(const connecting *self, muster_status status, muster_error *error)
{
    if (status != MUSTER_ERR_DEVICE_CALL && status != MUSTER_ERR_TIMEOUT)
        return status;
    int64_t grace_ns = self->comm->job->policy.deadlines.verdict_grace_ns;
    int64_t until_ns = muster_clock_deadline_ns(grace_ns);
    while (!cancelled(self) && muster_clock_now_ns() < until_ns) {
        struct timespec nap = {.tv_nsec = 2000000};
        nanosleep(&nap, NULL);
    }
    return cancelled(self) ? say_lost(self, error) : status;
}

muster_status muster_device_side_connect(muster_comm *comm,
                                         const muster_device_side_options *options,
                                         muster_error *error)
{
    muster_device_plane *plane = &comm->job->device;
    connecting self = {
        .comm = comm, .table = plane->table, .device = plane->device, .options = options};
    MUSTER_ASSERT(comm->device.live == NULL);
    self.offer.version = MUSTER_DEVICE_OFFER_VERSION;
    self.offer.epoch = comm->epoch;
    self.offer.communicator = comm->id;
    if (self.table != NULL) {
        snprintf(self.offer.plane, sizeof(self.offer.plane), "%s", self.table->name);
        self.offer.plane_version = plane->facts.nccl_version;
        self.id_count = self.table->id_count(self.device, comm->size);
        MUSTER_ASSERT(self.id_count >= 1 && self.id_count <= comm->size);
        self.offer.makes_id = makes_id(&self);
        /* An id that nobody uses would leave what it stands for behind: none where a shrink may do. */
        if (could_shrink(&self))
            self.offer.parent_epoch = comm->device.parent_epoch;
        else
            make_id(&self);
    }
    muster_status status = exchange(&self, MUSTER_DEVICE_STAGE_OFFER, error);
    if (status == MUSTER_OK && self.plan.has_plane) {
        MUSTER_ASSERT(self.table != NULL); /* all have one, or the plan refuses */
        status = connect_devices(&self, error);
    }
    return explain(&self, status, error);
}

bool muster_device_side_end_bracket(muster_comm *comm)
{
    bool was_borrowed = comm->device.borrowed;
    comm->device.borrowed = false;
    if (was_borrowed && comm->device.live != NULL)
        (void)comm->job->device.table->give_back(comm->device.live);
    return was_borrowed;
}

/* Makes live the parent. False: no memory for its members, and it is closed like any other. */
static bool keep_as_parent(muster_comm *comm)
{
    muster_device_side *side = &comm->device;
    muster_member *members = calloc((size_t)comm->size, sizeof(*members));
    if (members == NULL)
        return false;
    memcpy(members, comm->members, (size_t)comm->size * sizeof(*members));
    free(side->parent_members);
    side->parent_members = members;
    side->parent = side->live;
    side->parent_epoch = comm->epoch;
    side->parent_size = comm->size;
    side->parent_rank = comm->rank;
    side->live = NULL;
    return true;
}

void muster_device_side_close(muster_comm *comm, bool keep)
{
    muster_device_side *side = &comm->device;
    muster_device_plane *plane = &comm->job->device;
    if (side->parent != NULL && (side->live != NULL || !keep)) {
        (void)muster_device_plane_note(plane, plane->table->comm_close(side->parent, NULL));
        side->parent = NULL;
        side->parent_epoch = 0;
    }
    if (side->live != NULL &&
        !(keep && plane->table->can_shrink(side->live) && keep_as_parent(comm))) {
        (void)muster_device_plane_note(plane, plane->table->comm_close(side->live, NULL));
        side->live = NULL;
    }
    if (side->parent == NULL) {
        free(side->parent_members);
        side->parent_members = NULL;
    }
}
