/* SPDX-License-Identifier: Apache-2.0 */
/* Deaths at a stated place: a timer whose signal is SIGKILL falls some microseconds after the rank came there,
 * wherever its threads are by then. What is written to the campaign before says when. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rank_work.h"

enum { NS_PER_US = 1000, NS_PER_S = 1000000000 };

bool work_death_add(struct work *work, const char *text)
{
    struct rank_death death = {0};
    if (work->death_count == RANK_DEATHS_MAX ||
        sscanf(text, "%" SCNd32 ".%" SCNu32 ":%" SCNd64 ":%" SCNd64 ":%47[a-zA-Z0-9_ ]",
               &death.slot, &death.incarnation, &death.step, &death.after_us, death.where) != 5)
        return false;
    work->deaths[work->death_count++] = death;
    return true;
}

/* Before the join only the environment knows who this is. */
static bool death_is_mine(const struct work *work, const struct rank_death *death)
{
    int32_t slot = -1;
    uint32_t incarnation = 0;
    if (work->job != NULL) {
        slot = muster_job_slot(work->job);
        incarnation = muster_job_incarnation(work->job);
    } else {
        const char *said = getenv("MUSTER_SLOT");
        const char *number = getenv("MUSTER_INCARNATION");
        slot = said != NULL && strcmp(said, "spare") != 0 ? (int32_t)strtol(said, NULL, 10) : -1;
        incarnation = number != NULL ? (uint32_t)strtoul(number, NULL, 10) : 0;
    }
    return slot == death->slot && incarnation == death->incarnation;
}

static void death_write_note(const struct work *work, const struct rank_death *death,
                             int64_t when_ns)
{
    char path[512];
    char whole[512];
    snprintf(path, sizeof path, "%s/.died%d.%u", work->folder, death->slot, death->incarnation);
    snprintf(whole, sizeof whole, "%s/died%d.%u", work->folder, death->slot, death->incarnation);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return;
    fprintf(file, "%" PRId64 "\n", when_ns);
    fclose(file);
    rename(path, whole);
}

static void death_arm(const struct work *work, const struct rank_death *death)
{
    timer_t timer;
    struct timespec now;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t when_ns = (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec + death->after_us * NS_PER_US;
    printf("campaign: dies %" PRId64 " us after it came to %s\n", death->after_us, death->where);
    fflush(stdout);
    death_write_note(work, death, when_ns);
    /* From here, not from above: a slow disk would move the death to before the call. */
    const struct itimerspec after = {
        .it_value = {.tv_sec = death->after_us * NS_PER_US / NS_PER_S,
                     .tv_nsec = death->after_us * NS_PER_US % NS_PER_S + 1}};
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &after, NULL) != 0)
        printf("campaign: UNEXPECTED no timer\n");
}

void work_at(struct work *work, const char *where)
{
    work->where = where;
    for (int32_t i = 0; i < work->death_count; i++) {
        struct rank_death *death = &work->deaths[i];
        const bool here = death->where[0] != '\0' && strcmp(death->where, where) == 0 &&
                          (death->step < 0 || (uint64_t)death->step == work->expected.step);
        if (here && death_is_mine(work, death)) {
            death_arm(work, death);
            death->where[0] = '\0';
        }
    }
}
