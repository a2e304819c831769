/* SPDX-License-Identifier: Apache-2.0 */
/* The plug-in as it is loaded: one symbol, a whole table. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

typedef const muster_device_table *(*plugin_function)(void);

static const muster_device_table *load(void)
{
    void *handle = dlopen(PLUGIN_FILE, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(handle);
    void *symbol = dlsym(handle, MUSTER_DEVICE_PLUGIN_SYMBOL);
    assert_non_null(symbol);
    plugin_function plugin;
    memcpy(&plugin, &symbol, sizeof(symbol));
    dlclose(handle); /* linked with nodelete: it stays */
    return plugin();
}

static void the_table_is_whole(void **state)
{
    (void)state;
    const muster_device_table *table = load();
    assert_int_equal(table->table_version, MUSTER_DEVICE_TABLE_VERSION);
    assert_string_equal(table->name, "nccl");
    /* All of it but the version is pointers: none may be NULL. */
    const char *bytes = (const char *)table;
    for (size_t at = offsetof(muster_device_table, name); at < sizeof(*table);
         at += sizeof(void *)) {
        void *entry;
        memcpy(&entry, bytes + at, sizeof(entry));
        assert_non_null(entry);
    }
}

static void it_shows_one_symbol(void **state)
{
    (void)state;
    void *handle = dlopen(PLUGIN_FILE, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(handle);
    /* Public functions that are linked into it: a program must find those of libmuster. */
    const void *of_base = dlsym(handle, "muster_error_init");
    Dl_info info;
    if (of_base != NULL) {
        assert_int_not_equal(dladdr(of_base, &info), 0);
        assert_null(strstr(info.dli_fname, "libmuster-nccl"));
    }
    dlclose(handle);
}

static void it_opens_a_device(void **state)
{
    fixture *f = *state;
    f->table = load();
    fixture_connect(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_whole),
        cmocka_unit_test(it_shows_one_symbol),
        cmocka_unit_test_setup_teardown(it_opens_a_device, fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
