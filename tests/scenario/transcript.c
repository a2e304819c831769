/* SPDX-License-Identifier: Apache-2.0 */
#include "transcript.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct transcript_line {
    char *text;
    size_t bytes, length;
} transcript_line;

static void __attribute__((format(printf, 2, 3)))
line_add(transcript_line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int added = vsnprintf(line->text + line->length, line->bytes - line->length, format, arguments);
    va_end(arguments);
    line->length += (size_t)added;
    if (line->length >= line->bytes) {
        line->length = line->bytes - 1;
    }
}

static void line_deaths(transcript_line *line, int32_t count, const muster_death *deaths)
{
    for (int32_t i = 0; i < count; i++) {
        line_add(line, "%s%d.%u (%s%s)", i ? ", " : " deaths ", deaths[i].slot,
                 deaths[i].incarnation, muster_evidence_text((muster_evidence)deaths[i].evidence),
                 deaths[i].proven_gone ? ", gone" : "");
    }
}

static void line_agreed(transcript_line *line, const muster_message *message)
{
    static const char *const kinds[] = {"first", "replace", "shrink", "grow"};
    uint32_t kind = message->u.agreed.kind;
    line_add(line, " %s", kind < 4 ? kinds[kind] : "unknown kind");
    if (message->u.agreed.base_epoch != 0) {
        line_add(line, " from epoch %llu", (unsigned long long)message->u.agreed.base_epoch);
    }
    for (int32_t i = 0; i < message->u.agreed.without_count; i++) {
        line_add(line, "%s%d", i ? " " : " without ", message->u.agreed.without[i]);
    }
    if (message->u.agreed.member_count > 0) {
        line_add(line, message->u.agreed.base_epoch != 0 ? " with" : " members");
    }
    for (int32_t i = 0; i < message->u.agreed.member_count; i++) {
        line_add(line, " %d.%u", message->u.agreed.members[i].slot,
                 message->u.agreed.members[i].incarnation);
    }
    line_deaths(line, message->u.agreed.death_count, message->u.agreed.deaths);
    const muster_restore *restore = &message->u.agreed.restore;
    if (restore->has_step) {
        line_add(line, " restore step %llu of epoch %llu slots", (unsigned long long)restore->step,
                 (unsigned long long)restore->epoch);
        for (int32_t i = 0; i < restore->slot_count; i++) {
            line_add(line, " %d", message->u.agreed.restore_slots[i]);
        }
    }
    line_add(line, "%s%s", restore->state_lost ? " state lost" : "",
             message->u.agreed.abandon_memory ? " abandon memory" : "");
}

static void line_note(transcript_line *line, const muster_note *note)
{
    line_add(line, "note %s", muster_note_text((muster_note_kind)note->kind));
    if (note->slot == MUSTER_SLOT_SPARE_WIRE) {
        line_add(line, " spare");
    } else if (note->slot != MUSTER_SLOT_NONE) {
        line_add(line, " %d.%u", note->slot, note->incarnation);
    }
    if (note->evidence != MUSTER_EVIDENCE_NONE) {
        line_add(line, " (%s)", muster_evidence_text((muster_evidence)note->evidence));
    }
    line_add(line, ": %s", note->text);
}

static void line_message(transcript_line *line, const muster_message *message)
{
    line_add(line, "%s", muster_message_type_text(message->type));
    switch (message->type) {
    case MUSTER_MESSAGE_WELCOME:
        if (message->slot >= 0) {
            line_add(line, " %d.%u", message->slot, message->incarnation);
        }
        return;
    case MUSTER_MESSAGE_REFUSED:
    case MUSTER_MESSAGE_GAVE_UP:
        line_add(line, " %s: %s", muster_status_name((muster_status)message->u.refused.status),
                 message->u.refused.text);
        return;
    case MUSTER_MESSAGE_NOTE:
        line_add(line, message->u.note.text[0] ? ": waits for %s" : "%s", message->u.note.text);
        return;
    case MUSTER_MESSAGE_REVOKE:
        line_add(line, " epoch %llu", (unsigned long long)message->epoch);
        line_deaths(line, message->u.revoke.death_count, message->u.revoke.deaths);
        return;
    case MUSTER_MESSAGE_AGREED:
        line_add(line, " epoch %llu", (unsigned long long)message->epoch);
        line_agreed(line, message);
        return;
    case MUSTER_MESSAGE_ESTABLISHED:
        line_add(line, " epoch %llu", (unsigned long long)message->epoch);
        return;
    case MUSTER_MESSAGE_START:
        line_add(line, " %d.%u", message->slot, message->incarnation);
        return;
    case MUSTER_MESSAGE_KILL:
    case MUSTER_MESSAGE_ASSIGNED:
        line_add(line, " %d.%u process %d", message->slot, message->incarnation,
                 message->u.process.process_id);
        return;
    default:
        return;
    }
}

void transcript_action(char *text, size_t text_bytes, const muster_core_action *action)
{
    transcript_line line = {.text = text, .bytes = text_bytes};
    text[0] = '\0';
    switch (action->kind) {
    case MUSTER_CORE_SEND:
        line_message(&line, &action->message);
        return;
    case MUSTER_CORE_NOTE:
        line_note(&line, &action->message.u.note);
        return;
    case MUSTER_CORE_PERSIST:
        line_add(&line, "persist");
        return;
    case MUSTER_CORE_END:
        line_add(&line, "end");
        return;
    }
}
