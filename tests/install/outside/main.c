/* SPDX-License-Identifier: Apache-2.0 */
/* A program outside Muster's tree: installed headers, installed library, no job. */
#include <stdio.h>

#include <muster/muster.h>

int main(void)
{
    const int64_t lengths[3] = {2, 0, 5};
    int64_t offsets[4] = {0};
    if (muster_version() != MUSTER_VERSION) {
        fprintf(stderr, "headers of version %d, library of version %u\n", MUSTER_VERSION,
                muster_version());
        return 1;
    }
    if (muster_lengths_to_offsets(lengths, 3, offsets, NULL) != MUSTER_OK || offsets[1] != 2 ||
        offsets[2] != 2 || offsets[3] != 7) {
        fprintf(stderr, "offsets %lld %lld %lld\n", (long long)offsets[1], (long long)offsets[2],
                (long long)offsets[3]);
        return 1;
    }
    printf("outside: version %u\n", muster_version());
    return 0;
}
