/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the fuzz targets' corpus: FOLDER/TARGET/NAME, small files named after what they are. The same at
 * every run: made from seeds, not kept. A finding's input is kept as a test of the part instead. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../unit/wire/sample.h"
#include "coordinator/claims.h"
#include "coordinator/journal_format.h"
#include "core/core.h"
#include "operator/policy_options.h"
#include "transport/tcp/address.h"
#include "wire/wire.h"

static const char *corpus_root;

static void corpus_write(const char *target, const char *name, const void *bytes, size_t byte_count)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", corpus_root, target);
    if (mkdir(path, 0777) != 0 && errno != EEXIST) {
        perror(path);
        exit(1);
    }
    snprintf(path, sizeof path, "%s/%s/%s", corpus_root, target, name);
    FILE *file = fopen(path, "wbe");
    if (file == NULL || fwrite(bytes, 1, byte_count, file) != byte_count || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

/* Every type, with arrays empty, short and longer. */
static void corpus_wire(void)
{
    const uint32_t *types = NULL;
    const int type_count = sample_types(&types);
    for (int i = 0; i < type_count; i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            uint64_t random = seed;
            muster_message message;
            void *bytes = NULL;
            size_t byte_count = 0;
            char name[64];
            memset(&message, 0, sizeof message);
            sample_message(&random, types[i], &message);
            if (muster_wire_encode(&message, &bytes, &byte_count) == MUSTER_OK) {
                snprintf(name, sizeof name, "%s-%d", muster_message_type_text(types[i]), (int)seed);
                corpus_write("fuzz_wire", name, bytes, byte_count);
            }
            free(bytes);
            muster_message_clean_up(&message);
        }
    }
}

/* Conversations in the form of fuzz_core: what, connection, type, slot, incarnation, epoch, term, half of
 * the payload's length, payload. */
typedef struct conversation {
    uint8_t bytes[4096];
    size_t byte_count;
} conversation;

static void corpus_say(conversation *of, uint8_t connection, int32_t slot, uint8_t incarnation,
                       uint8_t epoch, const muster_message *message)
{
    void *bytes = NULL;
    size_t byte_count = 0;
    if (muster_wire_encode(message, &bytes, &byte_count) != MUSTER_OK)
        exit(1);
    const size_t payload_bytes = byte_count - 48;
    /* Its length is written in twos: an odd one goes on with a byte that is none, and is refused. */
    const uint8_t head[8] = {0,
                             connection,
                             (uint8_t)message->type,
                             (uint8_t)(slot + 2),
                             incarnation,
                             epoch,
                             0,
                             (uint8_t)((payload_bytes + 1) / 2)};
    memcpy(of->bytes + of->byte_count, head, sizeof head);
    memcpy(of->bytes + of->byte_count + sizeof head, (uint8_t *)bytes + 48, payload_bytes);
    of->byte_count += sizeof head + (payload_bytes + 1) / 2 * 2;
    free(bytes);
}

static void corpus_join(conversation *of, uint8_t connection, int32_t slot, int32_t slot_count,
                        uint8_t incarnation)
{
    muster_message join = {.type = MUSTER_MESSAGE_JOIN, .slot = slot};
    join.u.join.slot_count = slot_count;
    join.u.join.process_id = 100 + connection;
    join.u.join.blob.bytes = 1; /* for an even length */
    corpus_say(of, connection, slot, incarnation, 0, &join);
}

static void corpus_plain(conversation *of, uint8_t connection, int32_t slot, uint8_t epoch,
                         uint32_t type)
{
    muster_message message = {.type = type, .slot = slot};
    if (type == MUSTER_MESSAGE_QUIET)
        message.u.quiet.blob.bytes = 0;
    corpus_say(of, connection, slot, 0, epoch, &message);
}

static void corpus_core(void)
{
    conversation two = {.bytes = {0, 4, 3}, .byte_count = 3};
    corpus_join(&two, 0, 0, 2, 0);
    corpus_join(&two, 1, 1, 2, 0);
    corpus_write("fuzz_core", "two-join", two.bytes, two.byte_count);
    corpus_plain(&two, 0, 0, 1, MUSTER_MESSAGE_CONNECTED);
    corpus_plain(&two, 1, 1, 1, MUSTER_MESSAGE_CONNECTED);
    corpus_write("fuzz_core", "two-run", two.bytes, two.byte_count);
    conversation restart = two;
    restart.bytes[restart.byte_count++] = 250;
    corpus_write("fuzz_core", "two-run-restart", restart.bytes, restart.byte_count);
    muster_message evidence = {.type = MUSTER_MESSAGE_EVIDENCE, .slot = 0};
    evidence.u.evidence.evidence = MUSTER_EVIDENCE_ROBUST_FUTEX;
    evidence.u.evidence.accused_slot = 1;
    corpus_say(&two, 0, 0, 0, 1, &evidence);
    corpus_plain(&two, 0, 0, 1, MUSTER_MESSAGE_QUIET);
    corpus_write("fuzz_core", "two-lose-one", two.bytes, two.byte_count);
    corpus_join(&two, 2, 1, 2, 1);
    corpus_plain(&two, 0, 0, 2, MUSTER_MESSAGE_CONNECTED);
    corpus_write("fuzz_core", "two-replace-one", two.bytes, two.byte_count);
    conversation launched = {.bytes = {0, 4, 3}, .byte_count = 3};
    muster_message launcher = {.type = MUSTER_MESSAGE_LAUNCHER_JOIN, .slot = MUSTER_SLOT_NONE};
    muster_policy_defaults(&launcher.u.launcher_join.policy);
    launcher.u.launcher_join.policy.slot_count = 2;
    launcher.u.launcher_join.slot_count = 2;
    snprintf(launcher.u.launcher_join.job_name, sizeof launcher.u.launcher_join.job_name, "job");
    corpus_say(&launched, 9, MUSTER_SLOT_NONE, 0, 0, &launcher);
    corpus_join(&launched, 0, 0, 2, 0);
    corpus_join(&launched, 1, MUSTER_SLOT_SPARE_WIRE, 2, 255);
    corpus_plain(&launched, 9, 0, 0, MUSTER_MESSAGE_EXITED);
    corpus_write("fuzz_core", "launched", launched.bytes, launched.byte_count);
}

static void corpus_saved_and_journal(void)
{
    muster_policy policy;
    muster_core_actions actions;
    muster_journal_content content = {.term = 42};
    muster_journal_position position = {.identity = 1, .inode = 2};
    muster_journal_state state = {0};
    muster_claims claims = {0};
    const muster_key key = {"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"};
    const muster_message welcome = {.type = MUSTER_MESSAGE_WELCOME, .slot = 1};
    const muster_core_event tick = {.kind = MUSTER_CORE_TICK};
    muster_policy_defaults(&policy);
    policy.slot_count = 3;
    muster_core *core = muster_core_new(7, 42, &policy);
    muster_core_actions_init(&actions);
    muster_core_step(core, 1, &tick, &actions);
    if (muster_core_save(core, &state.core, &state.core_bytes) != MUSTER_OK)
        exit(1);
    corpus_write("fuzz_saved", "three-slots", state.core, state.core_bytes);
    muster_claims_say(&claims, &key, &welcome);
    if (muster_claims_save(&claims, &state.claims, &state.claims_bytes) != MUSTER_OK)
        exit(1);
    corpus_write("fuzz_journal", "claims", state.claims, state.claims_bytes);
    if (muster_journal_content_put(&content, 7, "train", &state, NULL) != MUSTER_OK)
        exit(1);
    uint8_t file[8192];
    void *bytes = NULL;
    size_t byte_count = 0;
    size_t used = 0;
    muster_journal_encode_whole(&content, &position, &bytes, &byte_count);
    memcpy(file, bytes, byte_count);
    used = byte_count;
    free(bytes);
    corpus_write("fuzz_journal", "whole", file, used);
    muster_journal_encode_job(&content.entries[0], &position, &bytes, &byte_count);
    memcpy(file + used, bytes, byte_count);
    used += byte_count;
    free(bytes);
    muster_journal_encode_end(7, &position, &bytes, &byte_count);
    memcpy(file + used, bytes, byte_count);
    used += byte_count;
    free(bytes);
    corpus_write("fuzz_journal", "appended", file, used);
    corpus_write("fuzz_journal", "torn", file, used - 5);
    muster_claims_clean_up(&claims);
    muster_journal_content_clean_up(&content);
    muster_core_actions_clean_up(&actions);
    muster_core_free(core);
}

static void corpus_keys(void)
{
    static const char pair[] = "# Muster key pair 'train'.\n"
                               "public = Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\n"
                               "secret = D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs\n";
    static const char list[] = "# who may\n\n"
                               "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID train jobs=a,b\n"
                               "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\n";
    corpus_write("fuzz_keys", "pair", pair, strlen(pair));
    corpus_write("fuzz_keys", "list", list, strlen(list));
    corpus_write("fuzz_keys", "public", list + 11, 47);
}

/* In the form of fuzz_tcp: how the rank behaves, then a stream. */
typedef struct stream {
    uint8_t bytes[4096];
    size_t byte_count;
} stream;

static void corpus_frame(stream *of, muster_tcp_kind kind, uint64_t sequence, size_t body_bytes)
{
    const muster_tcp_header header = {.kind = kind, .sequence = sequence, .bytes = body_bytes};
    muster_tcp_header_encode(&header, of->bytes + of->byte_count);
    memset(of->bytes + of->byte_count + MUSTER_TCP_HEADER_BYTES, 0x11, body_bytes);
    of->byte_count += MUSTER_TCP_HEADER_BYTES + body_bytes;
}

static void corpus_tcp(void)
{
    uint8_t bytes[64] = {0};
    stream live = {.bytes = {0xf7}, .byte_count = 1}; /* RECEIVEs of 8 bytes, 16 at once */
    const muster_tcp_hello hello = {
        .job = 1, .from = {1, 11, 2}, .to = {0, 10, 3}, .member_count = 2};
    const muster_tcp_address address = {.family = 4, .port = 4711, .number = {10, 0, 0, 1}};
    corpus_frame(&live, MUSTER_TCP_ROUND, 1, MUSTER_ROUND_BYTES);
    corpus_write("fuzz_tcp", "round", live.bytes, live.byte_count);
    corpus_frame(&live, MUSTER_TCP_DATA, 1, 8);
    corpus_frame(&live, MUSTER_TCP_ROUND, 2, MUSTER_ROUND_BYTES);
    corpus_frame(&live, MUSTER_TCP_DATA, 2, 8);
    corpus_frame(&live, MUSTER_TCP_BYE, 0, 0);
    corpus_write("fuzz_tcp", "rounds-data-bye", live.bytes, live.byte_count);
    muster_tcp_hello_encode(&hello, bytes);
    corpus_write("fuzz_tcp", "hello", bytes, MUSTER_TCP_HELLO_BYTES);
    memset(bytes, 0, sizeof bytes);
    muster_tcp_address_encode(&address, bytes);
    corpus_write("fuzz_tcp", "address", bytes, sizeof bytes);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: fuzz_corpus FOLDER\n");
        return 2;
    }
    corpus_root = argv[1];
    if (mkdir(corpus_root, 0777) != 0 && errno != EEXIST) {
        perror(corpus_root);
        return 1;
    }
    corpus_wire();
    corpus_core();
    corpus_saved_and_journal();
    corpus_keys();
    corpus_tcp();
    return 0;
}
