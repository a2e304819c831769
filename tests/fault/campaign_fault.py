# SPDX-License-Identifier: Apache-2.0
"""The kinds of faults: how often, to which jobs, what is done, how many ranks it takes at most."""
import signal
import time

EVERYWHERE = ("own", "apart", "hosts")
ONE_HOST = ("own", "apart")

KINDS = {}


class Kind:
    """A fault; rank_options and digest_options are for rank programs that hurt themselves."""

    def __init__(self, do, weight, places, aims, losses, ranks_min, adjust, slow, options, why_not,
                 environment, cuts):
        self.do = do
        self.why_not = why_not or (lambda plan: None)  # the reason why it cannot be done here
        self.rank_options = options or (lambda plan: [])
        # Of its processes: a function of the plan and the job.
        self.environment = environment or (lambda plan, job: {})
        self.text = do.__doc__
        self.weight = weight
        self.places = places
        self.aims = aims  # how many drawn slots it is about
        self._losses = losses
        self.ranks_min = ranks_min
        self.adjust = adjust or (lambda plan: None)
        self.cuts = cuts  # a way between hosts, perhaps for good
        self.slow = slow  # a fault that can make any rank look dead for a while

    def digest_options(self, plan):
        """Of the rank's options those that change what an undisturbed run ends with."""
        options = self.rank_options(plan)
        return [word for i, word in enumerate(options) if "--big-step" in (word, options[i - 1] if i else "")]

    def losses(self, plan):
        return self._losses(plan) if callable(self._losses) else self._losses


def kind(weight, places=EVERYWHERE, aims=1, losses=1, ranks_min=2, adjust=None, slow=False,
         options=None, why_not=None, environment=None, cuts=False):
    def named(do):
        KINDS[do.__name__] = Kind(do, weight, places, aims, losses, ranks_min, adjust, slow, options,
                                  why_not, environment, cuts)
        return do
    return named


def all_ranks(plan):
    return plan.ranks


# ---- processes ----

@kind(6)
def kill(hand, plan):
    """SIGKILL of one rank"""
    hand.signal(plan.slots[0], signal.SIGKILL)


@kind(3, aims=2, losses=2)
def kill_two(hand, plan):
    """SIGKILL of two ranks at once"""
    for slot in plan.slots[:2]:
        hand.signal(slot, signal.SIGKILL)


@kind(2, aims=3, losses=3, ranks_min=3)
def kill_three(hand, plan):
    """SIGKILL of three ranks at once"""
    for slot in plan.slots[:3]:
        hand.signal(slot, signal.SIGKILL)


@kind(4, aims=2, losses=2)
def kill_in_recovery(hand, plan):
    """SIGKILL of a rank, and of another, or its replacement, 0 to 200 ms after the verdict"""
    first, second = plan.slots[:2]
    hand.signal(first, signal.SIGKILL)
    if hand.wait(lambda: hand.verdict(first)):
        time.sleep(plan.second_after_ms / 1000)
        # Whoever is there now: one that was never hurt, or the replacement of the first.
        hand.signal(second if plan.second_after_ms < 140 else first, signal.SIGKILL)


@kind(2, losses=all_ranks, aims=0)
def kill_all(hand, plan):
    """SIGKILL of all ranks at once"""
    for slot in range(plan.ranks):
        hand.signal(slot, signal.SIGKILL)


@kind(3)
def stop(hand, plan):
    """SIGSTOP of a rank, for ever"""
    hand.signal(plan.slots[0], signal.SIGSTOP)


@kind(3)
def zombie(hand, plan):
    """SIGSTOP of a rank, SIGCONT at the verdict"""
    stopped = hand.signal(plan.slots[0], signal.SIGSTOP)
    if stopped and hand.wait(lambda: hand.verdict(plan.slots[0])):
        hand.signal_process(stopped, signal.SIGCONT)


@kind(3)
def hang(hand, plan):
    """a rank whose working thread never calls again"""
    hand.signal(plan.slots[0], signal.SIGUSR1)


@kind(2, losses=1)
def kill_at_the_end(hand, plan):
    """SIGKILL of a rank while the others take their leave"""
    if hand.wait(lambda: "campaign: done" in hand.job.output()):
        time.sleep(plan.within_us / 1e6)
        hand.signal(plan.slots[0], signal.SIGKILL)


@kind(1, places=("own",), aims=0)
def start(hand, plan):
    """SIGKILL of a rank that starts, joined or not"""


# ---- deaths at a stated place: the rank does it to itself, microseconds after it came into a call ----

def dies(slot, incarnation, step, after_us, where):
    return ["--die", f"{slot}.{incarnation}:{step}:{after_us}:{where}"]


def nothing_more(hand, plan):
    pass


def at_its_step(where, big=False):
    def options_of(plan):
        options = dies(plan.slots[0], 0, plan.at_step, plan.within_us, where)
        return options + (["--big-step", str(plan.at_step)] if big else [])
    return options_of


@kind(4, options=at_its_step("a batch of gathers", big=True))
def kill_in_gather(hand, plan):
    """a rank dies 1 us to 5 ms after it came into a gather of megabytes"""


@kind(2, options=at_its_step("a scatter", big=True))
def kill_in_scatter(hand, plan):
    """a rank dies 1 us to 5 ms after it came into a scatter of megabytes"""


@kind(4, options=at_its_step("a commit"))
def kill_in_commit(hand, plan):
    """a rank dies 1 us to 5 ms after it came into a commit"""


@kind(2, aims=2, losses=2, options=lambda plan: [
    word for i, slot in enumerate(plan.slots[:2])
    for word in dies(slot, 0, plan.at_step, plan.within_us * (i + 1), "a commit")])
def kill_two_in_commit(hand, plan):
    """two ranks die in the same commit"""


@kind(3, places=ONE_HOST, options=lambda plan: dies(plan.slots[0], 0, -1, plan.within_us, "the join"))
def kill_in_join(hand, plan):
    """a rank dies in its first join"""


@kind(3, losses=2, options=lambda plan: dies(-1 if plan.spares else plan.slots[0], 0 if plan.spares else 1, -1,
                                             plan.within_us, "the join"))
def kill_in_second_join(hand, plan):
    """SIGKILL of a rank; its replacement dies in its join"""
    hand.signal(plan.slots[0], signal.SIGKILL)


@kind(4, aims=2, losses=2, options=lambda plan: dies(plan.slots[1], 0, -1, plan.within_us, "a rebuild"))
def kill_in_rebuild(hand, plan):
    """SIGKILL of a rank; another dies 1 us to 5 ms after it came into the rebuild"""
    hand.signal(plan.slots[0], signal.SIGKILL)


@kind(3, aims=2, losses=2, options=lambda plan: dies(plan.slots[1], 0, -1, plan.within_us, "making a parameter"))
def kill_after_rebuild(hand, plan):
    """SIGKILL of a rank; another dies while the state is taken up"""
    hand.signal(plan.slots[0], signal.SIGKILL)


# ---- the coordinator and the launcher ----

@kind(3, aims=0, losses=0)
def coordinator(hand, plan):
    """SIGKILL of the coordinator; it comes back"""
    hand.kill_coordinator(plan.down_ms)


@kind(3)
def coordinator_and_rank(hand, plan):
    """SIGKILL of the coordinator and of a rank"""
    hand.kill_coordinator(plan.down_ms, meanwhile=lambda: hand.signal(plan.slots[0], signal.SIGKILL))


@kind(2, aims=0, losses=0)
def coordinator_paused(hand, plan):
    """SIGSTOP of the coordinator, SIGCONT up to 2.5 s later"""
    hand.signal_coordinator(signal.SIGSTOP)
    time.sleep(plan.pause_ms / 1000)
    hand.signal_coordinator(signal.SIGCONT)


@kind(2, aims=0, losses=0)
def journal_lost(hand, plan):
    """SIGKILL of the coordinator, its journal removed"""
    hand.kill_coordinator(plan.down_ms, with_journal=True)


@kind(1, places=("own",), aims=0)
def launcher(hand, plan):
    """SIGKILL of the launcher, and so of everything"""
    hand.kill_launcher("a")
