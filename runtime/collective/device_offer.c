/* SPDX-License-Identifier: Apache-2.0 */
#include "collective/device_offer.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"

const muster_device_offer *muster_device_offer_of(const void *offers, size_t stride_bytes,
                                                  int32_t rank)
{
    const char *place = (const char *)offers + (size_t)rank * stride_bytes;
    return (const muster_device_offer *)(const void *)place;
}

static muster_status refuse(muster_error *error, int32_t rank, muster_status status,
                            muster_field field, int64_t expected, int64_t came,
                            const char *sentence)
{
    muster_error_set(error, status, field, expected, came, "rank %" PRId32 ": %s", rank, sentence);
    if (error != NULL)
        error->rank = rank;
    return status;
}

/* What rank says of itself, or how it differs from rank 0. */
static muster_status check(const muster_device_offer *reference, const muster_device_offer *offer,
                           int32_t rank, muster_error *error)
{
    if (offer->version != reference->version || offer->stage != reference->stage)
        return refuse(error, rank, MUSTER_ERR_VERSION, MUSTER_FIELD_WIRE_VERSION,
                      reference->version, offer->version,
                      "connects devices in another way than rank 0; run one version of Muster on "
                      "all ranks");
    if (offer->epoch != reference->epoch || offer->communicator != reference->communicator)
        return refuse(error, rank, MUSTER_ERR_EPOCH, MUSTER_FIELD_EPOCH, (int64_t)reference->epoch,
                      (int64_t)offer->epoch, "connects another epoch's communicator than rank 0");
    if (strncmp(offer->plane, reference->plane, sizeof(offer->plane)) != 0) {
        muster_error_set(error, MUSTER_ERR_NO_DEVICE_PLANE, MUSTER_FIELD_OPTION, 0, 0,
                         "rank %" PRId32 " was joined with device plane \"%.15s\", rank 0 with "
                         "\"%.15s\"; set MUSTER_DEVICE_PLANE alike on all ranks",
                         rank, offer->plane, reference->plane);
        if (error != NULL)
            error->rank = rank;
        return MUSTER_ERR_NO_DEVICE_PLANE;
    }
    if (offer->status != MUSTER_OK) {
        const muster_status status = (muster_status)offer->status;
        char text[MUSTER_DEVICE_OFFER_TEXT_BYTES + 1] = "";
        memcpy(text, offer->text, MUSTER_DEVICE_OFFER_TEXT_BYTES);
        refuse(error, rank, status, (muster_field)offer->field, offer->expected, offer->came,
               text[0] != '\0' ? text : muster_status_text(status));
        if (error != NULL)
            error->native_code = offer->native_code;
        return status;
    }
    if (offer->plane_version != reference->plane_version)
        return refuse(error, rank, MUSTER_ERR_VERSION, MUSTER_FIELD_DEVICE,
                      reference->plane_version, offer->plane_version,
                      "its device library is of another version than rank 0's; install one on all "
                      "hosts");
    return MUSTER_OK;
}

muster_device_plan muster_device_plan_of(const void *offers, size_t stride_bytes, int32_t count,
                                         muster_error *error)
{
    const muster_device_offer *reference = muster_device_offer_of(offers, stride_bytes, 0);
    muster_device_plan plan = {
        .rank = -1,
        .has_plane = reference->plane[0] != '\0',
        .shrink = reference->parent_epoch != 0,
        .ids_complete = true,
    };
    int32_t gave_up = -1;
    for (int32_t rank = 0; rank < count; rank++) {
        const muster_device_offer *offer = muster_device_offer_of(offers, stride_bytes, rank);
        /* Its failure is a consequence of somebody's; that one is to be named. */
        if (offer->gave_up != 0) {
            gave_up = gave_up < 0 ? rank : gave_up;
            continue;
        }
        plan.status = check(reference, offer, rank, error);
        if (plan.status != MUSTER_OK) {
            plan.rank = rank;
            return plan;
        }
        plan.shrink = plan.shrink && offer->parent_epoch == reference->parent_epoch;
        plan.ids_complete = plan.ids_complete && offer->makes_id == offer->has_id;
    }
    if (gave_up >= 0) {
        plan.rank = gave_up;
        plan.status =
            check(reference, muster_device_offer_of(offers, stride_bytes, gave_up), gave_up, error);
    }
    return plan;
}
