# SPDX-License-Identifier: Apache-2.0
"""Rules of the core, each with the text that makes it hold and the text that takes it out. The build makes
one simulation of each, from the core's own sources; its seeds must notice (tests simulation_without_*).

A rule whose text is not found exactly once stops the build: whoever changes the rule changes it here."""
import pathlib
import sys

# name: (file of recovery/core, what it says, what it says without the rule)
MUTATIONS = {
    "only_jobs_that_are_told_to_grow_do": (
        "grow.c",
        "return core->policy.grow && slot->seat",
        "return slot->seat"),
    "quiet_survivors": (
        "rebuild.c",
        "core->state == MUSTER_CORE_REVOKED && decided && gone && quiet",
        "core->state == MUSTER_CORE_REVOKED && decided && gone && (quiet || true)"),
    "gone_or_abandoned": (
        "rebuild.c",
        "if (!core->deaths[i].death.proven_gone) {",
        "if (!core->deaths[i].death.proven_gone && core->job == 0) {"),
    "verdict_is_durable_before_it_is_said": (
        "verdict.c",
        "     * of every death. */\n    muster_core_persist(core);",
        "     * of every death. */"),
    "epoch_numbers_grow": (
        "rebuild.c",
        "core->epoch = 1 + (core->epoch > core->epoch_floor ? core->epoch : core->epoch_floor);",
        "core->epoch = 1 + core->epoch_floor;"),
    "every_state_of_a_step": (
        "restore_point.c",
        "all_held = all_held && held[past->slots[i]];",
        "all_held = all_held && (held[past->slots[i]] || i > 0);"),
    "lost_state_is_said": (
        "restore_point.c",
        "core->restore.state_lost = lost || restore_ever_committed(core);",
        "core->restore.state_lost = lost && restore_ever_committed(core) && core->job == 0;"),
    "the_newest_step_is_taken": (
        "restore_point.c",
        "(!found || restore_newer(holding->epoch, holding->step, best_epoch, best_step))) {",
        "(!found || !restore_newer(holding->epoch, holding->step, best_epoch, best_step))) {"),
    "silence_is_a_verdict_in_the_end": (
        "detector.c",
        "muster_core_passed(core, heard_ns, core->policy.deadlines.silence_ns)) {",
        "muster_core_passed(core, heard_ns, 1000 * core->policy.deadlines.silence_ns)) {"),
    "all_staged_where_nobody_saw_a_commit": (
        "restore_point.c",
        "if (!committed && !all_staged) {",
        "if (!committed) {"),
    "who_staged_nothing_says_that_nothing_was_committed": (
        "restore_point.c",
        "survived[s] = survivor && past->epoch == core->epoch;",
        "survived[s] = survivor && core->job == 0;"),
    "a_job_below_its_minimum_ends": (
        "rebuild.c",
        "if (remaining < minimum) {",
        "if (remaining < 0) {"),
    "quiet_is_of_this_epoch": (
        "rebuild.c",
        "if (!slot->member || message->epoch != core->epoch) {",
        "if (!slot->member) {"),
    "a_rank_may_ask_for_a_rebuild": (
        "rebuild.c",
        "        muster_core_verdict_revoke(core);\n    }\n    if (core->state != MUSTER_CORE_REVOKED) {",
        "    }\n    if (core->state != MUSTER_CORE_REVOKED) {"),
    "deaths_count_until_an_epoch_stands": (
        "rebuild.c",
        "    core->kind = rebuild_kind(core);\n",
        "    core->kind = rebuild_kind(core);\n    core->death_count = 0;\n"),
    "a_term_above_those_that_ranks_have_seen": (
        "rejoin.c",
        "core->term = term + 1;",
        "core->term = core->term + 0 * term;"),
    "one_process_a_slot": (
        "join.c",
        "if (!supersedes) {",
        "if (!supersedes && slot->slot < 0) {"),
    "who_slept_blames_nobody": (
        "detector.c",
        "process->heard_ns = core->now_ns;\n        process->connection_lost_ns = core->now_ns;",
        "process->connection_lost_ns = core->now_ns;"),
    # By a scenario: without it nothing is wrong, it only costs a rebuild more.
    "a_commit_waits_for_ranks_that_start": (
        "grow.c",
        "core->now_ns < core->slots[i].start_deadline_ns) {\n            return;",
        "core->now_ns < core->slots[i].start_deadline_ns) {\n            continue;"),
    "who_left_does_not_hold_up_a_rebuild": (
        "ending.c",
        "if (core->state == MUSTER_CORE_REVOKED || core->state == MUSTER_CORE_CONNECTING ||\n"
        "            ending_someone_waits(core, slot)) {",
        "if (ending_someone_waits(core, slot)) {"),
}


def main():
    core, name, out = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    file, rule, without = MUTATIONS[name]
    text = (core / file).read_text(encoding="utf-8")
    if text.count(rule) != 1:
        sys.exit(f"mutations.py: {name}: found {text.count(rule)} times in {file}, not once: {rule!r}")
    out.write_text(text.replace(rule, without), encoding="utf-8")


if __name__ == "__main__":
    main()
