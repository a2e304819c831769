/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/broadcast.h"

#include <stdlib.h>

#include "wire/wire.h"

static void broadcast_free(void *bytes, void *hint)
{
    (void)hint;
    free(bytes);
}

static bool broadcast_fill(muster_broadcast *broadcast, const muster_message *agreed)
{
    muster_message for_all = *agreed;
    for_all.slot = MUSTER_SLOT_NONE;
    for_all.incarnation = 0;
    void *bytes = NULL;
    size_t byte_count = 0;
    if (muster_wire_encode(&for_all, &bytes, &byte_count) != MUSTER_OK)
        return false;
    if (zmq_msg_init_data(&broadcast->bytes, bytes, byte_count, broadcast_free, NULL) != 0) {
        free(bytes);
        return false;
    }
    broadcast->members = agreed->u.agreed.members;
    broadcast->epoch = agreed->epoch;
    return true;
}

bool muster_broadcast_frame(muster_broadcast *broadcast, const muster_message *agreed,
                            zmq_msg_t *frame)
{
    if (broadcast->members != agreed->u.agreed.members || broadcast->epoch != agreed->epoch) {
        muster_broadcast_forget(broadcast);
        if (!broadcast_fill(broadcast, agreed))
            return false;
    }
    zmq_msg_init(frame);
    if (zmq_msg_copy(frame, &broadcast->bytes) == 0)
        return true;
    zmq_msg_close(frame);
    return false;
}

void muster_broadcast_forget(muster_broadcast *broadcast)
{
    if (broadcast->members != NULL)
        zmq_msg_close(&broadcast->bytes);
    broadcast->members = NULL;
}
