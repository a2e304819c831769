/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes: refused, or a message that encodes to the very same bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/difference.h"
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* A difference to some membership: refused (its hash alone sees to that here), and nothing worse. */
static void fuzz_difference(const muster_message *agreed)
{
    static const muster_member base[] = {{.slot = 0}, {.slot = 1}, {.slot = 2}, {.slot = 7}};
    muster_difference difference = {
        .base_epoch = agreed->u.agreed.base_epoch,
        .changed_count = agreed->u.agreed.member_count,
        .changed = agreed->u.agreed.members,
        .without_count = agreed->u.agreed.without_count,
        .without = agreed->u.agreed.without,
        .members_hash = agreed->u.agreed.members_hash,
    };
    muster_member *members = NULL;
    int32_t member_count = 0;
    if (muster_difference_apply(base, 4, &difference, &members, &member_count) == MUSTER_OK)
        free(members);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    muster_message message;
    muster_error error;
    muster_error_init(&error);
    if (muster_wire_decode(bytes, byte_count, &message, &error) == MUSTER_OK) {
        void *again;
        size_t again_count;
        MUSTER_ASSERT(muster_wire_encode(&message, &again, &again_count) == MUSTER_OK);
        MUSTER_ASSERT(again_count == byte_count && memcmp(again, bytes, byte_count) == 0);
        free(again);
        if (message.type == MUSTER_MESSAGE_AGREED)
            fuzz_difference(&message);
    }
    muster_message_clean_up(&message);
    return 0;
}
