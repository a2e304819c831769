/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks live through many losses, each of other ranks, in another phase, by SIGKILL or SIGSTOP, one or two at a
 * time, and nothing of it stays: in the survivors no thread, descriptor or mapping, in /dev/shm no file, and no
 * process.
 *
 * One thing stays, and it is NCCL's: where somebody falls while it connects to them, its abort does not close all sockets
 * of the connecting (which, and why nobody else can: runtime/transport/nccl/README.md). These rounds may leave a few
 * sockets each, the others none, and at the end it is told how many they were.
 *
 *     plugin_rounds [ROUNDS [SEED]]   20 where it is not given; the seed decides everything but the machine's timing */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "belongings.h"
#include "plugin_loss.h"

enum {
    SURVIVORS = 2,
    VICTIMS_MAX = 2,
    ROUNDS_MAX = (PLUGIN_PROCESSES_MAX - SURVIVORS) / VICTIMS_MAX,
    /* Before the first round, for what is there from then on. */
    EPOCH_AT_FIRST = ROUNDS_MAX * PLUGIN_LOSS_EPOCHS,
    MARK_COUNTED = ROUNDS_MAX * PLUGIN_LOSS_MARKS,
    SOCKETS_A_CONTACT = 8,
    /* Stacks of threads and arenas, which the C library keeps for the next ones. */
    ANONYMOUS_MAX = 64
};
/* A GPU's driver keeps and reuses what it has mapped, likewise: its devices, pinned memory, code it has compiled. */
static const char *const driver_files[] = {": /dev/nvidia", ": /dev/zero", ": /memfd:/.nvidia"};
#define DRIVER_SHARED_MEMORY "cuda."

_Static_assert((int)EPOCH_AT_FIRST < (int)PLUGIN_EPOCHS_MAX, "an epoch for each");
_Static_assert((int)MARK_COUNTED < (int)PLUGIN_MARKS_MAX, "a mark for each");

static int rounds = 20;
static uint64_t seed = 1;
/* As many as there are devices for, up to two of each: survivors are the first processes. */
static int survivors = SURVIVORS;
static int victims_most = VICTIMS_MAX;

/* ---- what happens in a round ---- */

/* Splitmix64, by its author's description. */
static uint64_t draw(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15U;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    return x ^ x >> 31;
}

static void shuffle(int *things, int count, uint64_t *state)
{
    for (int i = count - 1; i > 0; i--) {
        const int other = (int)(draw(state) % (uint64_t)(i + 1)), thing = things[i];
        things[i] = things[other];
        things[other] = thing;
    }
}

/* All phases come before one comes again. */
static plugin_loss_phase phase_of(int round)
{
    int phases[PLUGIN_LOSS_PHASES];
    uint64_t state = seed * 1000003 + (uint64_t)(round / PLUGIN_LOSS_PHASES);
    for (int i = 0; i < PLUGIN_LOSS_PHASES; i++)
        phases[i] = i;
    shuffle(phases, PLUGIN_LOSS_PHASES, &state);
    const plugin_loss_phase phase = (plugin_loss_phase)phases[round % PLUGIN_LOSS_PHASES];
    return plugin_loss_has_two_steps(phase) && victims_most < 2 ? PLUGIN_LOSS_AFTER_A_BATCH : phase;
}

/* The survivors come first among the processes, and have any ranks, the root's too; each round has victims of its own. */
static plugin_loss make_round(int round)
{
    static const int delays_ms[] = {0, 1, 3, 10, 40, 120, 300, 700};
    uint64_t state = seed * 7919 + (uint64_t)round;
    plugin_loss loss = {.phase = phase_of(round),
                        .members = {0, 1},
                        .size = survivors,
                        .epoch = round * PLUGIN_LOSS_EPOCHS,
                        .mark = round * PLUGIN_LOSS_MARKS};
    const bool two = draw(&state) % 3 == 0 || plugin_loss_has_two_steps(loss.phase);
    loss.victim_count = two && victims_most == 2 ? 2 : 1;
    loss.delay_ms = delays_ms[draw(&state) % (sizeof(delays_ms) / sizeof(delays_ms[0]))];
    for (int i = 0; i < loss.victim_count; i++) {
        loss.victims[i] = survivors + round * VICTIMS_MAX + i;
        loss.signals[i] = draw(&state) % 3 == 0 ? SIGSTOP : SIGKILL;
        loss.members[loss.size++] = loss.victims[i];
    }
    shuffle(loss.members, loss.size, &state);
    return loss;
}

static void tell_round(int round, const plugin_loss *loss)
{
    char text[160];
    int length =
        snprintf(text, sizeof(text), "  round %d, %s:", round, plugin_loss_text(loss->phase));
    for (int i = 0; i < loss->victim_count; i++) {
        int rank = 0;
        while (loss->members[rank] != loss->victims[i])
            rank++;
        length += snprintf(text + length, sizeof(text) - (size_t)length, "%s rank %d of %d %s",
                           i > 0 ? "," : "", rank, loss->size,
                           loss->signals[i] == SIGKILL ? "killed" : "stopped");
    }
    printf("%s, %d ms\n", text, loss->delay_ms);
    fflush(stdout);
}

static bool falls(int process)
{
    return process >= survivors;
}

/* ---- the survivors ---- */

typedef struct leak {
    const plugin_rank *self;
    const char *since; /* NULL: not to be told */
    size_t sockets;
    size_t anonymous;
    size_t other;
} leak;

static bool is_of_the_driver(const char *name)
{
    const bool on_gpu = getenv("MUSTER_TEST_DEVICES") != NULL;
    for (size_t i = 0; on_gpu && i < sizeof(driver_files) / sizeof(driver_files[0]); i++) {
        if (strstr(name, driver_files[i]) != NULL)
            return true;
    }
    return false;
}

static void tell_left(void *context, const char *name, size_t more)
{
    leak *found = context;
    size_t *kind = &found->other;
    if (strcmp(name, BELONGINGS_LISTENING) == 0 || strcmp(name, BELONGINGS_SOCKET) == 0)
        kind = &found->sockets;
    if (strcmp(name, BELONGINGS_ANONYMOUS) == 0 || is_of_the_driver(name))
        kind = &found->anonymous;
    *kind += more;
    if (found->since != NULL)
        printf("  process %d has more than before %s: %zu of %s\n", found->self->process,
               found->since, more, name);
}

static leak look_for_leaks(const plugin_rank *self, const belongings *before, const char *since)
{
    leak found = {.self = self, .since = since};
    belongings *now = belongings_count();
    PLUGIN_CHECK(self, now != NULL);
    (void)belongings_left(before, now, tell_left, &found);
    belongings_free(now);
    return found;
}

static bool is_well(const leak *found, size_t sockets)
{
    return found->other == 0 && found->anonymous <= ANONYMOUS_MAX && found->sockets <= sockets;
}

/* But for so many sockets. NCCL's threads of a moment ago may still be on their way out. */
static void expect_nothing_left(plugin_rank *self, const belongings *before, const char *since,
                                size_t sockets)
{
    leak found = look_for_leaks(self, before, NULL);
    for (int i = 0; i < PLUGIN_PATIENCE_S * 100 && !is_well(&found, sockets); i++) {
        plugin_rank_pause_ms(10);
        found = look_for_leaks(self, before, NULL);
    }
    if (!is_well(&found, sockets))
        (void)look_for_leaks(self, before, since);
    PLUGIN_CHECK(self, is_well(&found, sockets));
}

/* Does NCCL connect to somebody who falls? */
static bool has_contact(plugin_loss_phase phase)
{
    return phase != PLUGIN_LOSS_BEFORE_A_BATCH && phase != PLUGIN_LOSS_INSIDE_A_BATCH &&
           phase != PLUGIN_LOSS_AFTER_A_BATCH;
}

static belongings *count(plugin_rank *self)
{
    belongings *now = belongings_count();
    PLUGIN_CHECK(self, now != NULL);
    return now;
}

/* Returns how many sockets it may have left. */
static size_t survive_round(plugin_rank *self, int round)
{
    const plugin_loss loss = make_round(round);
    const size_t sockets = has_contact(loss.phase) ? SOCKETS_A_CONTACT : 0;
    belongings *before = count(self);
    if (self->process == 0) {
        tell_round(round, &loss);
        for (int i = 0; i < loss.victim_count; i++)
            plugin_rank_summon(loss.victims[i]);
    }
    plugin_loss_play(&loss, self);
    plugin_rank_close(self);
    for (int i = 0; self->process == 0 && i < loss.victim_count; i++) {
        plugin_rank_dismiss(loss.victims[i]);
        plugin_rank_await_gone(self, loss.victims[i]);
    }
    expect_nothing_left(self, before, "the round", sockets);
    belongings_free(before);
    return sockets;
}

static void survive(plugin_rank *self)
{
    static const int both[] = {0, 1};
    plugin_rank_open(self);
    PLUGIN_CHECK(self, plugin_rank_connect(self, both, survivors, EPOCH_AT_FIRST) == MUSTER_OK);
    PLUGIN_CHECK(self, plugin_rank_exchange(self, 70000) == MUSTER_OK);
    plugin_rank_close(self);
    plugin_rank_pause_ms(200); /* as above: what goes away is not to be counted */
    belongings *before = count(self);
    size_t sockets = 0;
    for (int round = 0; round < rounds; round++)
        sockets += survive_round(self, round);
    if (self->process == 0)
        printf("  %d shrunk, %d initialised, %d aborted\n", self->calls.shrinks,
               self->calls.initialisations, self->calls.aborts);
    if (rounds >= PLUGIN_LOSS_PHASES)
        PLUGIN_CHECK(self, self->calls.shrinks > 0);
    expect_nothing_left(self, before, "the first round", sockets);
    (void)look_for_leaks(self, before, "the first round");
    belongings_free(before);
    /* Nobody says goodbye while the other one is counting. */
    plugin_rank_mark(MARK_COUNTED);
    plugin_rank_await_marks(self, MARK_COUNTED, survivors);
}

static void live(plugin_rank *self)
{
    if (self->process < survivors) {
        survive(self);
        return;
    }
    const plugin_loss loss = make_round((self->process - survivors) / VICTIMS_MAX);
    plugin_rank_open(self);
    plugin_loss_play(&loss, self);
}

/* ---- what they leave outside of themselves ---- */

static bool write_text(const char *path, const char *text)
{
    const int file = open(path, O_WRONLY | O_CLOEXEC);
    const bool written = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
    if (file >= 0)
        close(file);
    return written;
}

/* So that what lies there is of these processes. */
static bool have_own_shared_memory(void)
{
    const uid_t user = getuid();
    const gid_t group = getgid();
    char map[64];
    if (unshare(CLONE_NEWNS) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            return false;
        snprintf(map, sizeof(map), "%u %u 1", (unsigned)user, (unsigned)user);
        (void)write_text("/proc/self/setgroups", "deny");
        (void)write_text("/proc/self/uid_map", map);
        snprintf(map, sizeof(map), "%u %u 1", (unsigned)group, (unsigned)group);
        (void)write_text("/proc/self/gid_map", map);
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") == 0;
}

static bool has_leases(void)
{
    char path[] = "/dev/shm/muster-test-XXXXXX";
    const int file = mkstemp(path);
    const bool granted = file >= 0 && fcntl(file, F_SETLEASE, F_WRLCK) == 0;
    if (file >= 0) {
        (void)unlink(path);
        close(file);
    }
    return granted;
}

static int tell_files(const char *folder)
{
    int count = 0;
    DIR *directory = opendir(folder);
    for (const struct dirent *entry = directory != NULL ? readdir(directory) : NULL; entry != NULL;
         entry = readdir(directory)) {
        if (entry->d_name[0] == '.')
            continue;
        struct stat file;
        if (fstatat(dirfd(directory), entry->d_name, &file, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        printf("  left behind: %s/%s of %lld bytes\n", folder, entry->d_name,
               (long long)file.st_size);
        count += file.st_size > 0 &&
                 strncmp(entry->d_name, DRIVER_SHARED_MEMORY, strlen(DRIVER_SHARED_MEMORY)) != 0;
    }
    if (directory != NULL)
        closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    char name[96];
    if (argc > 1)
        rounds = atoi(argv[1]);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 0);
    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "plugin_rounds: 1 to %d rounds\n", ROUNDS_MAX);
        return 2;
    }
    const int devices = plugin_rank_devices();
    if (devices < 2) {
        printf("skip: there is one device, and a loss takes two\n");
        return 77;
    }
    if (devices < SURVIVORS + VICTIMS_MAX)
        survivors = 1;
    if (devices == 2)
        victims_most = 1;
    setenv("NCCL_SET_THREAD_NAME", "1", 1); /* who is left has a name */
    /* NCCL's thread behind an id may be calling a rank that has just fallen: by itself it gives up after a minute, and that
     * is as long as anybody waits here. So often it takes some seconds. */
    setenv("NCCL_SOCKET_RETRY_CNT", "10", 1);
    const bool own_memory = have_own_shared_memory();
    if (!own_memory)
        printf("files in /dev/shm are not looked at: no mount of our own: %s\n", strerror(errno));
    snprintf(name, sizeof(name), "%d losses, seed %llu", rounds, (unsigned long long)seed);
    bool well =
        plugin_rank_run_later(name, survivors, survivors + rounds * VICTIMS_MAX, live, falls);
    /* Also none of a rank that was killed before the others had it, where the kernel says that nobody has it now; but an
     * empty one is left for a minute. */
    const bool can_tell = has_leases();
    if (own_memory && tell_files("/dev/shm") > (can_tell ? 0 : rounds * victims_most))
        well = false;
    if (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD) {
        printf("  a process is left behind\n");
        well = false;
    }
    return well ? 0 : 1;
}
