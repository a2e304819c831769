/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that runs out is a status code, never a signal; what comes from a peer is checked before it is
 * mapped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "group.h"
#include "transport/host/available.h"
#include "transport/host/mapping.h"

static void expect_no_memory(group_rank *self, size_t bytes)
{
    void *memory = &memory;
    muster_error error;

    muster_error_init(&error);
    CHECK(self->table->memory_alloc(self->endpoint, bytes, &memory, &error) ==
          MUSTER_ERR_NO_MEMORY);
    CHECK(memory == NULL);
    CHECK(error.status == MUSTER_ERR_NO_MEMORY);
    CHECK(strlen(error.message) > 20);
}

static void expect_some_memory(group_rank *self)
{
    void *memory;

    CHECK(self->table->memory_alloc(self->endpoint, 100000, &memory, NULL) == MUSTER_OK);
    memset(memory, 1, 100000);
    CHECK(self->table->memory_free(self->endpoint, memory) == MUSTER_OK);
}

static void do_too_much(group_rank *self)
{
    expect_no_memory(self, SIZE_MAX);
    expect_no_memory(self, SIZE_MAX / 2);
    expect_no_memory(self, (size_t)1 << 60);
    /* Without the question beforehand this would fill the machine, and have the kernel kill somebody. */
    expect_no_memory(self, (size_t)muster_host_available_bytes() * 2);
    expect_some_memory(self);
}

static void more_than_there_is_is_refused(void **state)
{
    (void)state;
    assert_true(muster_host_available_bytes() < UINT64_MAX);
    group_run_threads(1, do_too_much, NULL);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void remove_file(const char *folder, const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(unlink(path), 0);
}

/* A hierarchy as it is mounted, with a tight limit one level up. */
static void the_tightest_group_counts(void **state)
{
    const muster_host_group_files *files[] = {&muster_host_group_files_v1,
                                              &muster_host_group_files_v2};

    (void)state;
    for (int version = 0; version < 2; version++) {
        char root[] = "/tmp/muster-test-XXXXXX";
        char middle[256], leaf[300];
        const muster_host_group_files *names = files[version];

        assert_non_null(mkdtemp(root));
        snprintf(middle, sizeof middle, "%s/pod", root);
        snprintf(leaf, sizeof leaf, "%s/rank", middle);
        assert_int_equal(mkdir(middle, 0700), 0);
        assert_int_equal(mkdir(leaf, 0700), 0);
        assert_true(muster_host_available_in_group(names, root, "/pod/rank") == UINT64_MAX);
        write_file(leaf, names->limit, version == 0 ? "9223372036854771712\n" : "max\n");
        write_file(leaf, names->used, "100\n");
        write_file(middle, names->limit, "1000\n");
        write_file(middle, names->used, "700\n");
        assert_int_equal(muster_host_available_in_group(names, root, "/pod/rank"), 300);
        write_file(middle, "memory.stat",
                   "inactive_file_not 9\ninactive_file 200\ntotal_inactive_file 200\n");
        assert_int_equal(muster_host_available_in_group(names, root, "/pod/rank"), 500);
        write_file(root, names->limit, "800\n");
        write_file(root, names->used, "900\n");
        assert_int_equal(muster_host_available_in_group(names, root, "/pod/rank"), 0);
        assert_int_equal(muster_host_available_in_group(names, root, "/not/there"), 0);
        remove_file(leaf, names->limit);
        remove_file(leaf, names->used);
        remove_file(middle, names->limit);
        remove_file(middle, names->used);
        remove_file(middle, "memory.stat");
        remove_file(root, names->limit);
        remove_file(root, names->used);
        assert_int_equal(rmdir(leaf), 0);
        assert_int_equal(rmdir(middle), 0);
        assert_int_equal(rmdir(root), 0);
    }
}

static void do_file_size_limit(group_rank *self)
{
    struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};

    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    expect_no_memory(self, (1 << 20) + 1);
    expect_some_memory(self);
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
/* How much address space this process has now. */
static size_t address_space_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void do_address_space_limit(group_rank *self)
{
    size_t bytes = address_space_bytes() + ((size_t)8 << 20);
    struct rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};

    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    expect_no_memory(self, (size_t)64 << 20);
    expect_some_memory(self);
}
#endif

static void do_descriptor_limit(group_rank *self)
{
    struct rlimit limit = {.rlim_cur = 3, .rlim_max = 3};
    void *memory;
    muster_error error;

    muster_error_init(&error);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(self->table->memory_alloc(self->endpoint, 100, &memory, &error) == MUSTER_ERR_SYSTEM);
    CHECK(error.native_code != 0);
}

static void limits_of_the_process_are_errors(void **state)
{
    (void)state;
    group_run_processes(1, do_file_size_limit, NULL);
    group_run_processes(1, do_descriptor_limit, NULL);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    group_run_processes(1, do_address_space_limit, NULL);
#endif
}

static void do_connect_without_room(group_rank *self)
{
    struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    muster_transport_connect_options options = {.epoch = 2,
                                                .communicator = 1,
                                                .members = self->members,
                                                .member_count = 2,
                                                .own_rank = self->rank,
                                                .deadline_ns = group_now_ns() + SECOND_NS / 5};
    muster_transport *transport;
    muster_error error;

    muster_error_init(&error);
    if (self->rank == 0)
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(self->table->connect(self->endpoint, &options, &transport, &error) ==
          (self->rank == 0 ? MUSTER_ERR_NO_MEMORY : MUSTER_ERR_TIMEOUT));
    CHECK(transport == NULL);
}

static void connecting_without_room_is_an_error(void **state)
{
    (void)state;
    group_run_processes(2, do_connect_without_room, NULL);
}

static void count_signal(int number)
{
    (void)number;
}

static void a_timer_that_fires_all_the_time_does_not_stop_it(void **state)
{
    struct itimerval often = {.it_interval = {.tv_usec = 500}, .it_value = {.tv_usec = 500}};
    struct itimerval never = {.it_value = {0}};
    struct sigaction action = {.sa_handler = count_signal}, before;
    muster_host_mapping mapping;

    (void)state;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    assert_int_equal(muster_host_mapping_create((size_t)100 << 20, NULL, "a test", &mapping, NULL),
                     MUSTER_OK);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    muster_host_mapping_close(&mapping);
}

static void files_that_could_change_are_not_mapped(void **state)
{
    muster_host_mapping mapping;
    muster_host_mapping good;
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 8192), 0);
    assert_int_not_equal(muster_host_mapping_open(fd, 8192, "a test", &mapping, NULL), MUSTER_OK);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_int_not_equal(muster_host_mapping_open(fd, 8192, "a test", &mapping, NULL), MUSTER_OK);
    assert_null(mapping.memory);
    close(fd);
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_not_equal(muster_host_mapping_open(fd, 4096, "a test", &mapping, NULL), MUSTER_OK);
    close(fd);
    assert_int_equal(muster_host_mapping_create(5000, NULL, "a test", &good, NULL), MUSTER_OK);
    assert_int_equal(good.bytes, 8192);
    assert_int_not_equal(ftruncate(good.fd, 4096), 0);
    assert_int_not_equal(muster_host_mapping_open(good.fd, 4096, "a test", &mapping, NULL),
                         MUSTER_OK);
    assert_int_not_equal(muster_host_mapping_open(good.fd, 0, "a test", &mapping, NULL), MUSTER_OK);
    assert_int_equal(muster_host_mapping_open(good.fd, 8192, "a test", &mapping, NULL), MUSTER_OK);
    ((char *)good.memory)[8191] = 4;
    assert_int_equal(((char *)mapping.memory)[8191], 4);
    muster_host_mapping_close(&mapping);
    muster_host_mapping_close(&good);
    muster_host_mapping_close(&good);
}

static void a_forked_child_does_not_have_it(void **state)
{
    muster_host_mapping mapping;
    pid_t child;
    int status;

    (void)state;
    assert_int_equal(muster_host_mapping_create(4096, NULL, "a test", &mapping, NULL), MUSTER_OK);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        /* ENOMEM: nothing is mapped there. */
        _exit(msync(mapping.memory, 4096, MS_ASYNC) == -1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    muster_host_mapping_close(&mapping);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_than_there_is_is_refused),
        cmocka_unit_test(the_tightest_group_counts),
        cmocka_unit_test(limits_of_the_process_are_errors),
        cmocka_unit_test(connecting_without_room_is_an_error),
        cmocka_unit_test(a_timer_that_fires_all_the_time_does_not_stop_it),
        cmocka_unit_test(files_that_could_change_are_not_mapped),
        cmocka_unit_test(a_forked_child_does_not_have_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
