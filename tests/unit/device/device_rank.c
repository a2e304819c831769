/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/device/device_rank.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef const fake_device_api *(*api_function)(void);

const fake_device_api *device_api(void)
{
    void *library = dlopen(FAKE_PLUGIN, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    void *symbol = dlsym(library, FAKE_DEVICE_API_SYMBOL);
    CHECK(symbol != NULL);
    api_function api;
    memcpy(&api, &symbol, sizeof(api));
    dlclose(library);
    return api();
}

void device_adapt(muster_job_options *join, void *argument)
{
    (void)argument;
    snprintf(join->device_plane, sizeof(join->device_plane), "nccl");
    join->device = join->slot;
    join->device_abort_timeout_ns = INT64_C(10000000000);
    join->device_bracket_timeout_ns = INT64_C(200000000);
}

void device_options_init(harness_options *options, int32_t slot_count)
{
    harness_options_init(options, slot_count);
    options->adapt = device_adapt;
}

muster_tensor device_tensor(const harness_rank *rank, void *data, muster_dtype dtype, int64_t rows,
                            int64_t features)
{
    muster_device_facts facts = {.struct_bytes = sizeof(facts)};
    CHECK_STATUS(MUSTER_OK, muster_job_device_facts(rank->job, &facts));
    muster_tensor tensor = muster_tensor_device(data, dtype, rows, features, facts.device);
    device_api()->register_memory(data, (size_t)(rows * features) * muster_dtype_bytes(dtype),
                                  facts.device);
    return tensor;
}

device_place *device_place_make(void)
{
    device_place *place =
        mmap(NULL, sizeof(*place), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(place != MAP_FAILED);
    return place;
}

void device_place_end(device_place *place)
{
    munmap(place, sizeof(*place));
}

void device_place_pass(device_place *place)
{
    atomic_fetch_add(place, 1);
}

void device_place_await(device_place *place, int32_t count)
{
    static const struct timespec millisecond = {.tv_nsec = 1000000};
    for (int i = 0; i < 60000 && atomic_load(place) < count; i++)
        nanosleep(&millisecond, NULL);
}
