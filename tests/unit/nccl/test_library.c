/* SPDX-License-Identifier: Apache-2.0 */
/* Which libraries are taken, and what is said of those that are not. */
#include "transport/nccl/library.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

static void all_is_there(void **state)
{
    fixture *f = *state;
    muster_nccl_library library;
    assert_int_equal(muster_nccl_library_open(&library, STUB_NCCL, STUB_CUDA, &f->error),
                     MUSTER_OK);
    assert_int_equal(library.nccl_version, 22907);
#define CHECK(name) assert_non_null(library.name);
    MUSTER_NCCL_CALLS(CHECK)
    MUSTER_CUDA_CALLS(CHECK)
#undef CHECK
    assert_non_null(library.cudaStreamGetDevice);
    muster_nccl_library_close(&library);
}

static void a_missing_library_has_its_sentence(void **state)
{
    fixture *f = *state;
    f->options.nccl_library = "libnccl-that-is-not-there.so.2";
    assert_int_equal(fixture_open(f), MUSTER_ERR_LIBRARY);
    assert_null(f->device);
    assert_non_null(strstr(f->error.message, "NCCL (libnccl.so.2) cannot be loaded"));
    assert_non_null(strstr(f->error.message, "libnccl-that-is-not-there.so.2"));
    f->options.nccl_library = STUB_NCCL;
    f->options.cuda_library = "libcudart-that-is-not-there.so";
    assert_int_equal(fixture_open(f), MUSTER_ERR_LIBRARY);
    assert_non_null(strstr(f->error.message, "the CUDA runtime (libcudart) cannot be loaded"));
    assert_non_null(strstr(f->error.message, "libcudart-that-is-not-there.so"));
}

static void a_missing_function_is_named(void **state)
{
    fixture *f = *state;
    f->options.nccl_library = STUB_CUDA; /* a library, but another one */
    assert_int_equal(fixture_open(f), MUSTER_ERR_LIBRARY);
    assert_non_null(strstr(f->error.message, "ncclGetVersion"));
    f->options.nccl_library = STUB_NCCL;
    f->options.cuda_library = STUB_NCCL;
    assert_int_equal(fixture_open(f), MUSTER_ERR_LIBRARY);
    assert_non_null(strstr(f->error.message, "cudaRuntimeGetVersion"));
}

static void a_version_without_a_function_is_refused(void **state)
{
    fixture *f = *state;
    void *handle = dlopen(STUB_NCCL_INCOMPLETE, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(handle);
    stub_reset_function reset;
    void *symbol = dlsym(handle, "stub_nccl_reset");
    memcpy(&reset, &symbol, sizeof(symbol));
    reset();
    f->options.nccl_library = STUB_NCCL_INCOMPLETE;
    assert_int_equal(fixture_open(f), MUSTER_ERR_LIBRARY);
    assert_non_null(strstr(f->error.message, "ncclCommInitRankScalable"));
    dlclose(handle);
}

static void versions(void **state)
{
    static const struct {
        int version;
        muster_status status;
        const char *words;
    } cases[] = {
        {2708, MUSTER_ERR_LIBRARY, "NCCL 2.7.8 is too old"},
        {21805, MUSTER_ERR_LIBRARY, "NCCL 2.18.5 is too old: install 2.28.9 or newer"},
        {22802, MUSTER_ERR_LIBRARY, "NCCL 2.28.2 is too old"},
        {22803, MUSTER_ERR_LIBRARY, "NCCL 2.28.3 is refused: 2.28.3 to 2.28.8 crash"},
        {22808, MUSTER_ERR_LIBRARY, "NCCL 2.28.8 is refused: 2.28.3 to 2.28.8 crash"},
        {22809, MUSTER_OK, ""},
        {22907, MUSTER_OK, ""},
        {23203, MUSTER_OK, ""},
        {30000, MUSTER_OK, ""},
    };
    fixture *f = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        f->nccl->version = cases[i].version;
        muster_error_init(&f->error);
        assert_int_equal(fixture_open(f), cases[i].status);
        if (cases[i].status == MUSTER_OK) {
            muster_device_facts facts = {.struct_bytes = sizeof(facts)};
            f->table->facts(f->device, &facts);
            assert_int_equal(facts.nccl_version, cases[i].version);
            fixture_close(f);
            continue;
        }
        assert_non_null(strstr(f->error.message, cases[i].words));
        assert_int_equal(f->error.expected, MUSTER_NCCL_VERSION_LEAST);
        assert_int_equal(f->error.came, cases[i].version);
    }
}

static void a_version_that_cannot_be_asked(void **state)
{
    fixture *f = *state;
    f->nccl->failure = (stub_failure){.countdown = 1, .code = ncclSystemError};
    assert_int_equal(fixture_open(f), MUSTER_ERR_LIBRARY);
    assert_int_equal(f->error.native_code, ncclSystemError);
    assert_non_null(strstr(f->error.message, "ncclGetVersion"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_is_there),
        TEST(a_missing_library_has_its_sentence),
        TEST(a_missing_function_is_named),
        TEST(a_version_without_a_function_is_refused),
        TEST(versions),
        TEST(a_version_that_cannot_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
