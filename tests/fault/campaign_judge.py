# SPDX-License-Identifier: Apache-2.0
"""Whether a run kept to the rules: what it may say, how it may end, whom it may give up."""
import re
import signal

EXIT_OK, EXIT_RANK_FAILED, EXIT_GAVE_UP, EXIT_NO_COORDINATOR = 0, 1, 3, 4
# Verdicts that a slow machine can bring about; any other on a rank that nobody hurt is a crash.
OF_SLOWNESS = {"its process was silent", "its connection was lost", "its launcher was lost",
               "it stayed out of a batch in which others waited", "it did not come to the rebuild",
               "it left"}


class Judge:
    def __init__(self, job, hand):
        self.job = job
        self.hand = hand
        self.plan = job.plan
        self.findings = []  # (kind, sentence)
        self.false_verdicts = []

    def find(self, kind, sentence):
        self.findings.append((kind, sentence))

    def judge(self, ended):
        output = self.job.output()
        self._judge_verdicts(ended)
        self._judge_words(output)
        if ended:
            self._judge_end(output)

    def _judge_words(self, output):
        for line in output.splitlines():
            if " WRONG " in line:
                self.find("wrong", line)
            elif "UNEXPECTED" in line or "Sanitizer" in line or "runtime error:" in line or \
                    "assertion" in line.lower():
                self.find("unexpected", line)
            elif " ends alone, " in line and not self._cut_from_coordinator():
                self.find("unexpected", f"the coordinator was there: {line}")
            elif " from=lost " in line and not self._may_lose_state():
                self.find("unexpected", f"one loss lost the state: {line}")

    def _judge_verdicts(self, ended):
        hit = {(slot, incarnation) for slot, incarnation, _ in self.hand.hit}
        for note in self.job.events.of("verdict"):
            if (note["slot"], note["incarnation"]) in hit or self.plan.kind == "start" or \
                    note["evidence"] == "it left":
                continue
            sentence = f"slot {note['slot']}.{note['incarnation']}: {note['evidence']}"
            # At the end a launcher whose slots are done ends its spares, and a replacement is not needed any more.
            if note["evidence"] not in OF_SLOWNESS and ended and not self.hand.was_late():
                self.find("unexpected", f"a verdict on a rank that nobody hurt: {sentence}")
            if not self.plan.fault.slow and not self.plan.fault.cuts:
                self.false_verdicts.append(sentence)

    def _losses(self):
        """As planned, and those that the machine's slowness brought about."""
        return self.plan.losses() + len(self.false_verdicts)

    def legal_ends(self, letter):
        """Exit codes of the launcher of a host that the rules allow. Where some rank had come to its end when the
        fault fell, the others may find nobody to go on with."""
        plan = self.plan
        if plan.kind == "launcher":
            return {EXIT_OK, -signal.SIGKILL}
        legal = {EXIT_OK}
        if letter in self.hand.killed_launchers and plan.on_loss == "shrink":
            return {-signal.SIGKILL}  # the others go on without it
        if plan.fault.cuts and plan.lasting and plan.on_loss == "replace":
            legal.add(EXIT_GAVE_UP)  # a new process on the lost host is cut off, too
        if self._cut_from_coordinator() and letter == plan.letter:
            legal |= {EXIT_RANK_FAILED, EXIT_GAVE_UP, EXIT_NO_COORDINATOR}
        if plan.kind == "start":
            legal.add(EXIT_RANK_FAILED)  # it died before it had joined
        if self._losses() > 0 and self.hand.was_late():
            legal |= {EXIT_GAVE_UP, EXIT_RANK_FAILED}  # the latter: killed between leaving and exiting
        if self._losses() >= plan.ranks and plan.on_loss == "shrink":
            legal.add(EXIT_GAVE_UP)  # nobody is left
        return legal

    def _cut_from_coordinator(self):
        return self.plan.kind == "cut_from_coordinator" and self.plan.lasting

    def _may_lose_state(self):
        """A slot together with its mirror: two were hit, or the mirror had left."""
        return self._losses() > 1 or self.hand.was_late()

    def _judge_end(self, output):
        plan = self.plan
        codes = self.job.exit_codes()
        for letter, code in codes.items():
            if code not in self.legal_ends(letter):
                self.find("unexpected", f"exit code {code} of muster run on host {letter}")
        done = re.findall(r"campaign: done slot=(\d+) step=(\d+) digest=(\w+)", output)
        expected = self.job.digest()
        if any(digest != expected or int(step) != plan.steps for _, step, digest in done):
            self.find("wrong", f"the last state is not {expected}: {done}")
        if any(code not in (EXIT_OK, -signal.SIGKILL) for code in codes.values()) or \
                plan.kind == "launcher" and EXIT_OK not in codes.values():
            return
        slots = {int(slot) for slot, _, _ in done}
        lost = {note["slot"] for note in self.job.events.of("verdict") + self.job.events.of("evidence")}
        missing = set(range(plan.ranks)) - slots
        if plan.on_loss == "shrink":
            missing -= lost
        if missing or not done:
            self.find("unexpected", f"slots {sorted(missing)} never came to the last step")
