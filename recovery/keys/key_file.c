/* SPDX-License-Identifier: Apache-2.0 */
#include "keys/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define KEY_REFUSE(error, ...) \
    muster_error_set(error, MUSTER_ERR_ENVIRONMENT, MUSTER_FIELD_OPTION, 0, 0, __VA_ARGS__)

/* ---- reading ---- */

/* A secret that others can read is no secret, and who can write a public key says whom to trust. A
 * secret of root's may be readable for a group: that is how it is handed to a container whose processes
 * are not root. */
static muster_status key_file_guarded(const char *path, const struct stat *facts, bool secret,
                                      muster_error *error)
{
    if (facts->st_uid != geteuid() && facts->st_uid != 0)
        return KEY_REFUSE(error,
                          "the key file '%.120s' belongs to another user (%u): its owner can "
                          "change the keys; use a file of your own",
                          path, facts->st_uid);
    if (!secret && (facts->st_mode & 022) != 0)
        return KEY_REFUSE(error,
                          "the key file '%.120s' can be changed by others (mode %04o): look at "
                          "what is in it, and chmod 644 it",
                          path, facts->st_mode & 07777);
    mode_t open_to_others = facts->st_uid == geteuid() ? 077 : 027;
    if (secret && (facts->st_mode & open_to_others) != 0)
        return KEY_REFUSE(error,
                          "the key file '%.120s' is open to others (mode %04o): make new keys if "
                          "they may have read it, and chmod 600 it",
                          path, facts->st_mode & 07777);
    return muster_error_set_ok(error);
}

static muster_status key_file_check(const char *path, int fd, bool secret, size_t text_bytes,
                                    struct stat *facts, muster_error *error)
{
    if (fstat(fd, facts) != 0)
        return KEY_REFUSE(error, "the key file '%.120s' cannot be read: %s", path, strerror(errno));
    if (!S_ISREG(facts->st_mode) || facts->st_size >= (off_t)text_bytes)
        return KEY_REFUSE(error, "'%.120s' is not a key file: it is %s", path,
                          S_ISREG(facts->st_mode) ? "too long" : "no ordinary file");
    return key_file_guarded(path, facts, secret, error);
}

static muster_status key_file_fill(const char *path, int fd, char *text, size_t text_bytes,
                                   muster_error *error)
{
    size_t used = 0;
    for (;;) {
        ssize_t got = read(fd, text + used, text_bytes - 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return KEY_REFUSE(error, "the key file '%.120s' cannot be read: %s", path,
                              strerror(errno));
        if (got == 0)
            break;
        used += (size_t)got;
    }
    text[used] = '\0';
    if (strlen(text) != used)
        return KEY_REFUSE(error, "'%.120s' is not a key file: it is not text", path);
    return muster_error_set_ok(error);
}

/* Not blocking: somebody may give the name of a pipe. */
static int key_file_open(const char *path, muster_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        (void)KEY_REFUSE(error, "the key file '%.120s' cannot be opened: %s", path,
                         strerror(errno));
    return fd;
}

static muster_status key_file_text(const char *path, bool secret, char *text, size_t text_bytes,
                                   muster_error *error)
{
    struct stat facts;
    int fd = key_file_open(path, error);
    if (fd < 0)
        return MUSTER_ERR_ENVIRONMENT;
    muster_status status = key_file_check(path, fd, secret, text_bytes, &facts, error);
    if (status == MUSTER_OK)
        status = key_file_fill(path, fd, text, text_bytes, error);
    close(fd);
    return status;
}

/* As much memory as the file is long, and not as it may be: a list is read again whenever it changes. */
static muster_status key_file_load(const char *path, int fd, size_t bytes_max, char **text,
                                   muster_error *error)
{
    struct stat facts;
    muster_status status = key_file_check(path, fd, false, bytes_max, &facts, error);
    if (status != MUSTER_OK)
        return status;
    const size_t text_bytes = (size_t)facts.st_size + 2; /* one to see that it has grown, and NUL */
    *text = malloc(text_bytes);
    if (*text == NULL)
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a list of keys");
    status = key_file_fill(path, fd, *text, text_bytes, error);
    if (status == MUSTER_OK && strlen(*text) > (size_t)facts.st_size)
        status = KEY_REFUSE(error,
                            "the key file '%.120s' grew while it was read: write it elsewhere and "
                            "rename it",
                            path);
    if (status == MUSTER_OK)
        return status;
    free(*text);
    *text = NULL;
    return status;
}

muster_status muster_key_file_load(const char *path, size_t bytes_max, char **text,
                                   muster_error *error)
{
    int fd = key_file_open(path, error);
    *text = NULL;
    if (fd < 0)
        return MUSTER_ERR_ENVIRONMENT;
    muster_status status = key_file_load(path, fd, bytes_max, text, error);
    close(fd);
    return status;
}

bool muster_key_file_comment(const char *line)
{
    const char *at = line + strspn(line, " \t\r");
    return *at == '\0' || (*at == '#' && (at[1] == ' ' || at[1] == '\t' || at[1] == '\0'));
}

char *muster_key_file_next_line(char *line)
{
    char *end = strchr(line, '\n');
    if (end == NULL)
        return NULL;
    *end = '\0';
    return end + 1;
}

/* "NAME = KEY", or false. */
static bool key_file_take(const char *line, const char *name, muster_key *key, bool *wrong)
{
    const char *at = line + strspn(line, " \t");
    size_t length = strlen(name);
    if (strncmp(at, name, length) != 0)
        return false;
    at += length;
    at += strspn(at, " \t");
    if (*at != '=')
        return false;
    at++;
    at += strspn(at, " \t");
    *wrong = !muster_key_parse(at, key) || key->text[0] == '\0' ||
             at[MUSTER_KEY_TEXT_LENGTH + strspn(at + MUSTER_KEY_TEXT_LENGTH, " \t\r")] != '\0';
    return true;
}

static muster_status key_pair_parse(const char *path, char *text, muster_key_pair *pair,
                                    muster_error *error)
{
    int number = 1;
    for (char *line = text; line != NULL; number++) {
        char *next = muster_key_file_next_line(line);
        bool wrong = false;
        bool known = muster_key_file_comment(line) ||
                     key_file_take(line, "public", &pair->public_key, &wrong) ||
                     key_file_take(line, "secret", &pair->secret_key, &wrong);
        if (!known || wrong)
            return KEY_REFUSE(error,
                              "the key file '%.100s', line %d: expected 'public = KEY' or "
                              "'secret = KEY' with a key of %d characters; `muster keys` makes "
                              "such files",
                              path, number, MUSTER_KEY_TEXT_LENGTH);
        line = next;
    }
    if (pair->public_key.text[0] == '\0' || pair->secret_key.text[0] == '\0')
        return KEY_REFUSE(error,
                          "the key file '%.100s' lacks its %s key: give the .secret file that "
                          "`muster keys` made",
                          path, pair->secret_key.text[0] == '\0' ? "secret" : "public");
    return muster_error_set_ok(error);
}

muster_status muster_key_pair_read(const char *path, muster_key_pair *pair, muster_error *error)
{
    char text[MUSTER_KEY_FILE_BYTES_MAX];
    memset(pair, 0, sizeof *pair);
    muster_status status = key_file_text(path, true, text, sizeof text, error);
    if (status == MUSTER_OK)
        status = key_pair_parse(path, text, pair, error);
    explicit_bzero(text, sizeof text);
    if (status != MUSTER_OK)
        muster_key_pair_wipe(pair);
    return status;
}

muster_status muster_public_key_read(const char *path, muster_key *key, muster_error *error)
{
    char text[MUSTER_KEY_FILE_BYTES_MAX];
    int number = 1;
    memset(key, 0, sizeof *key);
    muster_status status = key_file_text(path, false, text, sizeof text, error);
    if (status != MUSTER_OK)
        return status;
    bool found = false;
    for (char *line = text; line != NULL; number++) {
        char *next = muster_key_file_next_line(line);
        if (!muster_key_file_comment(line)) {
            if (found || !muster_key_parse(line + strspn(line, " \t"), key))
                return KEY_REFUSE(error,
                                  "the key file '%.100s', line %d: expected one public key of %d "
                                  "characters; give the .public file that `muster keys` made",
                                  path, number, MUSTER_KEY_TEXT_LENGTH);
            found = true;
        }
        line = next;
    }
    if (!found)
        return KEY_REFUSE(error,
                          "the key file '%.100s' has no key in it; give the .public file that "
                          "`muster keys` made",
                          path);
    return muster_error_set_ok(error);
}

muster_status muster_client_keys_read(const char *coordinator_key_path, const char *key_path,
                                      muster_client_keys *keys, muster_error *error)
{
    bool has_coordinator = coordinator_key_path != NULL && coordinator_key_path[0] != '\0';
    bool has_own = key_path != NULL && key_path[0] != '\0';
    memset(keys, 0, sizeof *keys);
    if (!has_coordinator && !has_own)
        return muster_error_set_ok(error);
    if (!has_coordinator)
        return KEY_REFUSE(error, "a key file of one's own needs the coordinator's public key, too: "
                                 "give MUSTER_COORDINATOR_KEY (or --coordinator-key)");
    if (!has_own)
        return KEY_REFUSE(error, "the coordinator's key needs a key file of one's own, too: give "
                                 "MUSTER_KEY_FILE (or --key-file)");
    muster_status status = muster_public_key_read(coordinator_key_path, &keys->coordinator, error);
    if (status == MUSTER_OK)
        status = muster_key_pair_read(key_path, &keys->own, error);
    if (status != MUSTER_OK)
        muster_client_keys_wipe(keys);
    return status;
}

/* ---- writing ---- */

static muster_status key_file_failed(const char *path, int reason, muster_error *error)
{
    if (reason == EEXIST)
        return muster_error_set(error, MUSTER_ERR_INVALID_ARGUMENT, MUSTER_FIELD_OPTION, 0, 0,
                                "'%.120s' is there already, and a key that is gone cannot be had "
                                "again: choose another name, or say --overwrite",
                                path);
    return muster_error_set(error, MUSTER_ERR_SYSTEM, MUSTER_FIELD_OPTION, 0, 0,
                            "the key file '%.120s' cannot be written: %s", path, strerror(reason));
}

/* Beside the place first: whoever reads there finds a whole file or none. */
static int key_file_write(const char *path, mode_t mode, const char *text, size_t text_bytes,
                          bool overwrite)
{
    char *beside = NULL;
    if (asprintf(&beside, "%s.XXXXXX", path) < 0)
        return ENOMEM;
    int reason = 0;
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0) {
        reason = errno;
        free(beside);
        return reason;
    }
    if (fchmod(fd, mode) != 0 || write(fd, text, text_bytes) != (ssize_t)text_bytes ||
        fsync(fd) != 0)
        reason = errno != 0 ? errno : EIO;
    close(fd);
    if (reason == 0) {
        /* A link does not replace what is there; a rename does. */
        int placed = overwrite ? rename(beside, path) : link(beside, path);
        reason = placed == 0 ? 0 : errno;
    }
    if (reason != 0 || !overwrite)
        unlink(beside);
    free(beside);
    return reason;
}

muster_status muster_key_pair_write(const char *folder, const char *name,
                                    const muster_key_pair *pair, bool overwrite,
                                    muster_error *error)
{
    char *secret_path = NULL;
    char *public_path = NULL;
    char secret[512];
    char public[256];
    if (asprintf(&secret_path, "%s/%s.secret", folder, name) < 0)
        secret_path = NULL;
    if (asprintf(&public_path, "%s/%s.public", folder, name) < 0)
        public_path = NULL;
    if (secret_path == NULL || public_path == NULL) {
        free(secret_path);
        free(public_path);
        return muster_error_set(error, MUSTER_ERR_NO_MEMORY, MUSTER_FIELD_NONE, 0, 0,
                                "no memory for a path");
    }
    int secret_bytes = snprintf(secret, sizeof secret,
                                "# Muster key pair '%s'. Whoever has the secret can act as its "
                                "owner: keep it (mode 0600).\npublic = %s\nsecret = %s\n",
                                name, pair->public_key.text, pair->secret_key.text);
    int public_bytes = snprintf(public, sizeof public, "%s %s\n", pair->public_key.text, name);
    const char *failed_path = public_path;
    int reason = !overwrite && access(public_path, F_OK) == 0 ? EEXIST : 0;
    if (reason == 0) {
        failed_path = secret_path;
        reason =
            key_file_write(secret_path, S_IRUSR | S_IWUSR, secret, (size_t)secret_bytes, overwrite);
    }
    if (reason == 0) {
        failed_path = public_path;
        reason = key_file_write(public_path, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH, public,
                                (size_t)public_bytes, overwrite);
    }
    explicit_bzero(secret, sizeof secret);
    muster_status status =
        reason == 0 ? muster_error_set_ok(error) : key_file_failed(failed_path, reason, error);
    free(secret_path);
    free(public_path);
    return status;
}
