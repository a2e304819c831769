/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/host/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "transport/host/available.h"
#include "transport/host/clock.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
/* Below this the question whether the machine has the memory is not worth reading two files. */
#define SMALL_BYTES ((size_t)1 << 20)
#define ALLOCATE_SLICE_BYTES ((size_t)64 << 20)
#define POPULATE_SLICE_BYTES ((size_t)16 << 20)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older kernels answer EINVAL */
#endif

size_t muster_host_mapping_round_up(size_t bytes)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

    if (bytes > (size_t)INT64_MAX - page_bytes)
        return 0;
    return (bytes + page_bytes - 1) / page_bytes * page_bytes;
}

static muster_status no_memory(muster_error *error, const char *what, uint64_t wanted,
                               uint64_t available)
{
    int64_t limit = available > INT64_MAX ? INT64_MAX : (int64_t)available;

    return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_BYTES, limit,
                            wanted > INT64_MAX ? INT64_MAX : (int64_t)wanted,
                            "%s: %" PRIu64 " bytes of shared memory wanted, at most %" PRIu64
                            " can be had; free memory or ask for less",
                            what, wanted, available);
}

/* What can be told before the first page is taken. */
static muster_status check_room(size_t bytes, const char *what, muster_error *error)
{
    struct rlimit limit;
    uint64_t available;

    /* Growing a file beyond this limit raises SIGXFSZ, which would end the application. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        bytes > limit.rlim_cur)
        return no_memory(error, what, bytes, limit.rlim_cur);
    if (bytes <= SMALL_BYTES)
        return MUSTER_OK;
    available = muster_host_available_bytes();
    /* A sixteenth stays for everybody else: a machine filled to the last page kills somebody. */
    if (available != UINT64_MAX)
        available -= available / 16;
    return bytes <= available ? MUSTER_OK : no_memory(error, what, bytes, available);
}

/* Allocates every page now. A signal would make fallocate undo a slice and start over, for ever under a
 * profiler's timer, so signals wait until the slice is done. */
static int allocate_pages(int fd, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        size_t left = bytes - done;
        size_t slice = left < ALLOCATE_SLICE_BYTES ? left : ALLOCATE_SLICE_BYTES;
        sigset_t all, before;
        int rc, code;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        rc = fallocate(fd, 0, (off_t)done, (off_t)slice);
        code = rc == 0 ? 0 : errno;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (code == 0)
            done += slice;
        else if (code != EINTR)
            return code;
    }
    return 0;
}

static muster_status failed(muster_error *error, int code, const char *what, size_t bytes,
                            const char *call)
{
    if (code == ENOSPC || code == ENOMEM || code == EFBIG || code == EDQUOT) {
        muster_status status =
            muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_BYTES, 0, (int64_t)bytes,
                             "%s: %s of %zu bytes of shared memory failed; free memory, raise the "
                             "limit (ulimit -v, memory cgroup) or ask for less",
                             what, call, bytes);

        if (error != NULL)
            error->native_code = code;
        return status;
    }
    return muster_error_set_errno(error, code, call);
}

muster_status muster_host_mapping_create(size_t bytes, void *at, const char *what,
                                         muster_host_mapping *mapping, muster_error *error)
{
    size_t whole_bytes = muster_host_mapping_round_up(bytes);
    muster_status status;
    const char *call;
    void *memory;
    int fd, code;

    *mapping = MUSTER_HOST_MAPPING_NONE;
    if (whole_bytes == 0)
        return no_memory(error, what, bytes, muster_host_available_bytes());
    status = check_room(whole_bytes, what, error);
    if (status != MUSTER_OK)
        return status;
    fd = memfd_create("muster", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return failed(error, errno, what, whole_bytes, "memfd_create");
    /* A memfd begins open to all, for whoever finds a way to it (/proc, a descriptor passed on). */
    call = "fchmod";
    code = fchmod(fd, S_IRUSR | S_IWUSR) == 0 ? 0 : errno;
    if (code == 0)
        call = "ftruncate";
    if (code == 0)
        code = ftruncate(fd, (off_t)whole_bytes) == 0 ? 0 : errno;
    if (code == 0) {
        call = "fallocate";
        code = allocate_pages(fd, whole_bytes);
    }
    if (code == 0) {
        call = "F_ADD_SEALS";
        code = fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) == 0 ? 0 : errno;
    }
    if (code != 0) {
        close(fd);
        return failed(error, code, what, whole_bytes, call);
    }
    memory = mmap(at, whole_bytes, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_POPULATE | (at != NULL ? MAP_FIXED : 0), fd, 0);
    if (memory == MAP_FAILED) {
        code = errno;
        close(fd);
        return failed(error, code, what, whole_bytes, "mmap");
    }
    /* A forked child must not write into a group it is no member of. */
    (void)madvise(memory, whole_bytes, MADV_DONTFORK);
    *mapping = (muster_host_mapping){.memory = memory, .bytes = whole_bytes, .fd = fd};
    return MUSTER_OK;
}

muster_status muster_host_mapping_open(int fd, size_t bytes, const char *what,
                                       muster_host_mapping *mapping, muster_error *error)
{
    struct stat file;
    void *memory;
    int seals;

    *mapping = MUSTER_HOST_MAPPING_NONE;
    seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || fstat(fd, &file) != 0)
        return muster_error_set_errno(error, errno, what);
    /* Whose it is can change it and its pages' fate behind our back. */
    if (file.st_uid != geteuid())
        return muster_error_set(error, MUSTER_ERR_FOREIGN, MUSTER_FIELD_NONE, (int64_t)geteuid(),
                                (int64_t)file.st_uid,
                                "%s: the memory belongs to user %u, and this process is user %u's; "
                                "run all ranks of a host as the same user",
                                what, file.st_uid, geteuid());
    if ((seals & SEALS) != SEALS || bytes == 0 || file.st_size != (off_t)bytes)
        return muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_BYTES, (int64_t)bytes,
                                file.st_size,
                                "%s: a sealed file of %zu bytes was announced, one of %jd bytes "
                                "with seals %d came; run the same version of Muster on all ranks",
                                what, bytes, (intmax_t)file.st_size, seals);
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return failed(error, errno, what, bytes, "mmap");
    (void)madvise(memory, bytes, MADV_DONTFORK);
    *mapping = (muster_host_mapping){.memory = memory, .bytes = bytes, .fd = -1};
    return MUSTER_OK;
}

void muster_host_mapping_populate(const muster_host_mapping *mapping, int64_t deadline_ns)
{
    size_t done = 0;

    while (done < mapping->bytes && muster_host_clock_now_ns() < deadline_ns) {
        size_t left = mapping->bytes - done;
        size_t slice = left < POPULATE_SLICE_BYTES ? left : POPULATE_SLICE_BYTES;

        if (madvise((char *)mapping->memory + done, slice, MADV_POPULATE_WRITE) != 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            return;
        }
        done += slice;
    }
}

void muster_host_mapping_drop_pages(int fd, size_t bytes)
{
    while (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) != 0 &&
           errno == EINTR)
        ;
}

void muster_host_mapping_close_fd(muster_host_mapping *mapping)
{
    if (mapping->fd >= 0)
        close(mapping->fd);
    mapping->fd = -1;
}

void muster_host_mapping_close(muster_host_mapping *mapping)
{
    if (mapping->memory != NULL)
        munmap(mapping->memory, mapping->bytes);
    muster_host_mapping_close_fd(mapping);
    *mapping = MUSTER_HOST_MAPPING_NONE;
}
