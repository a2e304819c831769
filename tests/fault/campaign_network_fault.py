# SPDX-License-Identifier: Apache-2.0
"""Faults of the network between hosts, and of whole hosts. Everybody on both sides of a cut counts as hurt: who of them
goes is the coordinator's to say."""
import signal
import time

import hosts
from campaign_fault import all_ranks, kind

HOSTS = ("hosts",)


def long_enough(plan):
    """A fault of the network lasts while the job works."""
    plan.step_ms = max(plan.step_ms, 10)
    plan.steps += 12
    plan.spares = 0


def one_side(plan):
    return max(len(plan.slots_of("a")), len(plan.slots_of("b")))


def hit_all(hand, plan, letters="ab"):
    for letter in letters:
        for slot in plan.slots_of(letter):
            hand.hits(slot)


def cut_for_a_while(hand, plan, cut):
    hit_all(hand, plan)
    cut()
    hand.look_late()
    if not plan.lasting:
        time.sleep(plan.for_ms / 1000)
        hand.job.network.heal()


@kind(4, places=HOSTS, aims=0, losses=one_side, adjust=long_enough, cuts=True)
def cut(hand, plan):
    """the two hosts cannot reach each other for 0.1 to 3 s, or for good"""
    cut_for_a_while(hand, plan, lambda: hand.job.network.cut("a", "b"))


@kind(3, places=HOSTS, aims=0, losses=one_side, adjust=long_enough, cuts=True)
def cut_one_way(hand, plan):
    """nothing goes from one host to the other for 0.1 to 3 s, or for good"""
    other = "b" if plan.letter == "a" else "a"
    cut_for_a_while(hand, plan, lambda: hand.job.network.cut(plan.letter, other, one_way=True))


@kind(3, places=HOSTS, aims=0, losses=all_ranks, adjust=long_enough, cuts=True)
def cut_from_coordinator(hand, plan):
    """one host and the coordinator cannot reach each other for 0.1 to 3 s, or for good"""
    cut_for_a_while(hand, plan, lambda: hand.job.network.cut(plan.letter, "c"))


@kind(2, places=HOSTS, aims=0, losses=all_ranks, adjust=long_enough)
def cut_off_coordinator(hand, plan):
    """nobody can reach the coordinator for 0.1 to 3 s"""
    hit_all(hand, plan)
    hand.job.network["c"].link_down()
    time.sleep(plan.for_ms / 1000)
    hand.job.network["c"].link_up()


@kind(3, places=HOSTS, aims=0, losses=lambda plan: len(plan.slots_of(plan.letter)), adjust=long_enough)
def host_isolated(hand, plan):
    """one host loses its link for 0.1 to 3 s; its ranks live on, and may wake up fenced"""
    hit_all(hand, plan, plan.letter)
    hand.job.network[plan.letter].link_down()
    hand.look_late()
    time.sleep(plan.for_ms / 1000)
    hand.job.network[plan.letter].link_up()


def back_again(hand, plan, letter):
    """As an operator does it; where the job shrinks, nobody is needed."""
    if plan.on_loss == "replace":
        time.sleep(plan.down_ms / 1000)
        hand.job.launch(letter)


@kind(3, places=HOSTS, aims=0, losses=lambda plan: len(plan.slots_of(plan.letter)), adjust=long_enough)
def host_vanishes(hand, plan):
    """one host loses its link and then all of its processes; it comes back with a new launcher"""
    hit_all(hand, plan, plan.letter)
    host = hand.job.network[plan.letter]
    hand.killed_launchers.add(plan.letter)
    host.vanish()
    hand.look_late()
    time.sleep(plan.down_ms / 1000)
    hand.wait(lambda: not host.processes(), 20)
    host.link_up()
    back_again(hand, plan, plan.letter)


@kind(3, places=HOSTS, aims=0, losses=lambda plan: len(plan.slots_of(plan.letter)), adjust=long_enough)
def launcher_of_a_host(hand, plan):
    """SIGKILL of one host's launcher, and so of its ranks; a new one comes"""
    hand.kill_launcher(plan.letter)
    hand.wait(lambda: not hand.job.network[plan.letter].processes(), 20)
    back_again(hand, plan, plan.letter)


@kind(3, places=HOSTS, aims=0, losses=0, adjust=long_enough, slow=True,
      why_not=lambda plan: hosts.why_no_loss())
def loss(hand, plan):
    """1 to 25 % of the packets between the hosts are lost for 0.1 to 3 s"""
    network = hand.job.network
    for one, other in ("ab", "ac", "bc"):
        network.lose(one, other, plan.loss)
    time.sleep(plan.for_ms / 1000)
    network.heal()


@kind(2, places=HOSTS, aims=1, losses=1, adjust=long_enough, slow=True,
      why_not=lambda plan: hosts.why_no_loss())
def loss_and_rank(hand, plan):
    """packets are lost, and meanwhile a rank is killed"""
    network = hand.job.network
    for one, other in ("ab", "ac", "bc"):
        network.lose(one, other, plan.loss)
    hand.signal(plan.slots[0], signal.SIGKILL)
    time.sleep(plan.for_ms / 1000)
    network.heal()


@kind(3, places=HOSTS, aims=0, losses=0, adjust=long_enough, slow=True,
      why_not=lambda plan: hosts.why_no_relay())
def delay(hand, plan):
    """every packet is 1 to 60 ms late, they overtake each other, and some come twice, for 0.1 to 3 s"""
    network = hand.job.network
    network.disturb(plan.delay_ms / 2, plan.delay_ms, 0, 0.02, plan.seed)
    time.sleep(plan.for_ms / 1000)
    network.heal()


@kind(2, places=HOSTS, aims=1, losses=1, adjust=long_enough, slow=True,
      why_not=lambda plan: hosts.why_no_relay())
def delay_and_rank(hand, plan):
    """as above, and a rank is killed meanwhile"""
    network = hand.job.network
    network.disturb(plan.delay_ms / 2, plan.delay_ms, 0.01, 0.02, plan.seed)
    hand.signal(plan.slots[0], signal.SIGKILL)
    time.sleep(plan.for_ms / 1000)
    network.heal()
