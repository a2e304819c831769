/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes: refused, or a message that encodes to the very same bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

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
    }
    muster_message_clean_up(&message);
    return 0;
}
