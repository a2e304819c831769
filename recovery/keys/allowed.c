/* SPDX-License-Identifier: Apache-2.0 */
#include "keys/allowed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/hash.h"
#include "keys/key_file.h"

#define ALLOWED_FILE_BYTES_MAX ((size_t)16 << 20)
#define ALLOWED_JOBS "jobs="
#define ALLOWED_BLANKS " \t\r"

static muster_status allowed_no_memory(muster_error *error)
{
    return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                            "no memory for the list of allowed keys");
}

void muster_allowed_clean_up(muster_allowed *allowed)
{
    for (size_t i = 0; i < allowed->count; i++)
        free(allowed->items[i].jobs);
    free(allowed->items);
    memset(allowed, 0, sizeof *allowed);
}

static muster_allowed_key *allowed_append(muster_allowed *allowed)
{
    if (allowed->count == allowed->capacity) {
        size_t capacity = allowed->capacity == 0 ? 16 : allowed->capacity * 2;
        muster_allowed_key *items = realloc(allowed->items, capacity * sizeof *items);
        if (items == NULL)
            return NULL;
        allowed->items = items;
        allowed->capacity = capacity;
    }
    muster_allowed_key *item = &allowed->items[allowed->count++];
    memset(item, 0, sizeof *item);
    return item;
}

/* NULL: fine; else what is wrong. */
static const char *allowed_take_jobs(muster_allowed_key *item, char *names, bool *no_memory)
{
    size_t count = 1;
    for (const char *c = names; *c != '\0'; c++)
        count += *c == ',';
    item->jobs = calloc(count, sizeof *item->jobs);
    if (item->jobs == NULL) {
        *no_memory = true;
        return "no memory";
    }
    for (char *name = strsep(&names, ","); name != NULL; name = strsep(&names, ",")) {
        if (name[0] == '\0')
            return "an empty job name after jobs=";
        item->jobs[item->job_count++] = muster_hash_text(name);
    }
    return NULL;
}

static const char *allowed_take_line(muster_allowed *allowed, char *line, bool *no_memory)
{
    char *rest = line + strspn(line, ALLOWED_BLANKS);
    if (allowed->count >= MUSTER_ALLOWED_KEYS_MAX)
        return "more keys than a coordinator takes";
    muster_allowed_key *item = allowed_append(allowed);
    if (item == NULL) {
        *no_memory = true;
        return "no memory";
    }
    if (!muster_key_parse(rest, &item->key))
        return "expected a public key of 40 characters at its beginning";
    rest += MUSTER_KEY_TEXT_LENGTH;
    for (char *word = strtok_r(rest, ALLOWED_BLANKS, &rest); word != NULL;
         word = strtok_r(NULL, ALLOWED_BLANKS, &rest)) {
        const char *wrong = NULL;
        if (strncmp(word, ALLOWED_JOBS, strlen(ALLOWED_JOBS)) == 0)
            wrong = item->jobs != NULL
                        ? "jobs= stands there twice"
                        : allowed_take_jobs(item, word + strlen(ALLOWED_JOBS), no_memory);
        else if (item->name[0] != '\0' || !muster_key_name_usable(word))
            wrong = "after the key comes a name of letters and digits, and jobs=JOB,JOB";
        else
            snprintf(item->name, sizeof item->name, "%s", word);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

static int allowed_compare(const void *one, const void *other)
{
    return strcmp(((const muster_allowed_key *)one)->key.text,
                  ((const muster_allowed_key *)other)->key.text);
}

static muster_status allowed_parse(const char *path, char *text, muster_allowed *allowed,
                                   muster_error *error)
{
    int number = 1;
    bool no_memory = false;
    for (char *line = text; line != NULL; number++) {
        char *next = muster_key_file_next_line(line);
        const char *wrong =
            muster_key_file_comment(line) ? NULL : allowed_take_line(allowed, line, &no_memory);
        if (no_memory)
            return allowed_no_memory(error);
        if (wrong != NULL)
            return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 0, number,
                                    "the list of allowed keys '%.100s', line %d: %s", path, number,
                                    wrong);
        line = next;
    }
    /* Everybody would be refused; who means that stops the coordinator. */
    if (allowed->count == 0)
        return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 1, 0,
                                "the list of allowed keys '%.100s' has no key in it", path);
    qsort(allowed->items, allowed->count, sizeof *allowed->items, allowed_compare);
    for (size_t i = 1; i < allowed->count; i++) {
        if (muster_key_same(&allowed->items[i - 1].key, &allowed->items[i].key))
            return muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 0, 0,
                                    "the list of allowed keys '%.100s' has the key '%s' twice: "
                                    "remove one of its lines",
                                    path, allowed->items[i].key.text);
    }
    return muster_error_set_ok(error);
}

muster_status muster_allowed_read(const char *path, muster_allowed *allowed, muster_error *error)
{
    memset(allowed, 0, sizeof *allowed);
    char *text = NULL;
    muster_status status = muster_key_file_load(path, ALLOWED_FILE_BYTES_MAX, &text, error);
    if (status == MUSTER_OK)
        status = allowed_parse(path, text, allowed, error);
    free(text);
    if (status != MUSTER_OK)
        muster_allowed_clean_up(allowed);
    return status;
}

const muster_allowed_key *muster_allowed_find(const muster_allowed *allowed, const muster_key *key)
{
    if (allowed->count == 0)
        return NULL;
    const muster_allowed_key sought = {.key = *key};
    return bsearch(&sought, allowed->items, allowed->count, sizeof *allowed->items,
                   allowed_compare);
}

bool muster_allowed_job(const muster_allowed_key *key, uint64_t job)
{
    for (size_t i = 0; i < key->job_count; i++) {
        if (key->jobs[i] == job)
            return true;
    }
    return key->jobs == NULL;
}
