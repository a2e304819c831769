/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in files. A pair is two of them, NAME.secret and NAME.public:
 *
 *     # Muster key pair 'train'. Whoever has the secret can act as its owner: keep it (mode 0600).
 *     public = Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID
 *     secret = D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs
 *
 *     Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID train
 *
 * A line that is empty, or begins with "#" and a blank, is a comment; a key can begin with "#", but has
 * no blanks. The lines of public files are those of a list of allowed keys (allowed.h). */
#ifndef MUSTER_KEYS_KEY_FILE_H
#define MUSTER_KEYS_KEY_FILE_H

#include "keys/key.h"

#define MUSTER_KEY_FILE_BYTES_MAX 4096

/* Makes folder/NAME.secret (mode 0600) and folder/NAME.public. Where either is there already it is
 * MUSTER_ERR_INVALID_ARGUMENT and nothing is changed, unless overwrite. MUSTER_ERR_SYSTEM names the
 * path. */
muster_status muster_key_pair_write(const char *folder, const char *name,
                                    const muster_key_pair *pair, bool overwrite,
                                    muster_error *error);

/* MUSTER_ERR_ENVIRONMENT: the file cannot be read, is not a key pair, or others may read it; the
 * sentence names the path, the line, and what to do. */
muster_status muster_key_pair_read(const char *path, muster_key_pair *pair, muster_error *error);

/* The key of a public file. MUSTER_ERR_ENVIRONMENT as above. */
muster_status muster_public_key_read(const char *path, muster_key *key, muster_error *error);

/* Both files that a client needs. Either path NULL or empty where the other is not is
 * MUSTER_ERR_ENVIRONMENT, too. Both: *keys is empty, and connections are plain. */
muster_status muster_client_keys_read(const char *coordinator_key_path, const char *key_path,
                                      muster_client_keys *keys, muster_error *error);

/* The whole of a public text file, shorter than bytes_max, with a NUL at its end, for the caller to
 * free. For the files of this folder. */
muster_status muster_key_file_load(const char *path, size_t bytes_max, char **text,
                                   muster_error *error);
/* Whether the line that begins here says nothing. */
bool muster_key_file_comment(const char *line);
/* The line after this one; NULL: this was the last. Ends this one with a NUL. */
char *muster_key_file_next_line(char *line);

#endif
