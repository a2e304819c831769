/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting a communicator on the device plane, as far as it is arithmetic. Every rank says one of these
 * in each of a few raw rounds of the host plane, and every rank applies the same pure function to what all
 * have said, so that they connect by the same way, or return the same code. */
#ifndef MUSTER_COLLECTIVE_DEVICE_OFFER_H
#define MUSTER_COLLECTIVE_DEVICE_OFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/status.h>

#define MUSTER_DEVICE_OFFER_VERSION 2u
#define MUSTER_DEVICE_OFFER_ID_BYTES 128
#define MUSTER_DEVICE_OFFER_TEXT_BYTES 160 /* what a round has room for */

/* In the order in which they come; those that are not needed are left out by all ranks alike. */
typedef enum muster_device_stage {
    MUSTER_DEVICE_STAGE_OFFER = 1,  /* what I run on; that I could shrink, or my id */
    MUSTER_DEVICE_STAGE_SHRUNK = 2, /* what became of the shrink */
    MUSTER_DEVICE_STAGE_IDS = 3,    /* ids, where the first round had none */
    MUSTER_DEVICE_STAGE_CONNECTED = 4
} muster_device_stage;

typedef struct muster_device_offer {
    uint32_t version;
    uint32_t stage;
    uint64_t epoch;
    uint64_t communicator;
    char plane[16];        /* "": joined without one */
    int32_t plane_version; /* of the native library: ids and communicators are one version's */
    int32_t status;        /* muster_status of this rank's own work for this stage */
    int32_t field;         /* muster_field */
    int32_t native_code;
    int64_t expected;
    int64_t came;
    /* The epoch whose communicator this rank kept and could shrink to the new one's ranks; 0: none. */
    uint64_t parent_epoch;
    uint32_t makes_id; /* this rank is one of those that make an id */
    uint32_t has_id;   /* ... and here it is */
    uint32_t gave_up;  /* the failure is only that the others had ended without this rank */
    uint32_t reserved;
    uint8_t id[MUSTER_DEVICE_OFFER_ID_BYTES];
    char text[MUSTER_DEVICE_OFFER_TEXT_BYTES]; /* the failure in this rank's own words */
} muster_device_offer;

typedef struct muster_device_plan {
    muster_status
        status;     /* of the lowest failing rank; of one that gave up only where no other failed */
    int32_t rank;   /* that rank; -1 where none */
    bool has_plane; /* all ranks have one; else none has */
    bool shrink;    /* all kept the same epoch's communicator: shrink it */
    bool ids_complete; /* whoever makes an id has given it */
} muster_device_plan;

/* Over count offers of one stage, by rank, stride_bytes apart. On a failure error (may be NULL) gets the
 * sentence, the same on every rank. */
muster_device_plan muster_device_plan_of(const void *offers, size_t stride_bytes, int32_t count,
                                         muster_error *error);

const muster_device_offer *muster_device_offer_of(const void *offers, size_t stride_bytes,
                                                  int32_t rank);

#endif
