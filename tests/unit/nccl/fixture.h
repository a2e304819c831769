/* SPDX-License-Identifier: Apache-2.0 */
/* A device of the plug-in over the stubs. Every teardown looks whether NCCL's rules were kept, and whether
 * anything was left behind. */
#ifndef MUSTER_TESTS_NCCL_FIXTURE_H
#define MUSTER_TESTS_NCCL_FIXTURE_H

#include "stub.h"
#include "transport/device.h"

#define MILLISECOND_NS ((int64_t)1000000)
/* For what must happen: against a hang, never a measure. */
#define LONG_NS ((int64_t)20000 * MILLISECOND_NS)

typedef struct fixture {
    const muster_device_table *table;
    stub_nccl *nccl;
    stub_cuda *cuda;
    muster_device_options options; /* of the next fixture_open */
    muster_device *device;
    muster_device_comm *comm; /* of fixture_connect */
    muster_device_id ids[8];
    atomic_bool cancel;
    atomic_int order;
    muster_error error;
} fixture;

/* For cmocka: *state is the fixture. The device is not open yet. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

/* Both libraries as on the first day, also in the middle of a test. */
void fixture_reset(fixture *f);
muster_status fixture_open(fixture *f);
/* Options of rank 1 of `rank_count`, epoch 3, with LONG_NS. */
muster_device_connect_options fixture_connect_options(fixture *f, int32_t rank_count);
/* Opens, and connects a comm of 4 ranks; both must succeed. */
void fixture_connect(fixture *f);
void fixture_close(fixture *f);
void *fixture_memory(int device, size_t bytes);
/* Calls progress until *done or an error; naps between. */
muster_status fixture_finish(fixture *f, muster_device_batch *batch);
int64_t fixture_now_ns(void);
void fixture_nap(int64_t nap_ns);
/* Entries of that name in a log. */
int fixture_count(const stub_entry *log, int log_count, const char *name);
const stub_entry *fixture_find(const stub_entry *log, int log_count, const char *name, int nth);

#endif
