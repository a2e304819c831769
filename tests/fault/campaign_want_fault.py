# SPDX-License-Identifier: Apache-2.0
"""What a rank, or its host, may run short of: memory, descriptors, a clock that goes straight on."""
import os
import resource
import signal
import time

from campaign_fault import kind

SANITIZED = "a sanitizer reserves more address space than any limit, and comes before libfaketime"
LIBFAKETIME = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
               "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1")


def sanitized(plan):
    return SANITIZED if any(name in plan.build for name in ("asan", "tsan")) else None


def starving(plan):
    return ["--may-starve"]


def address_bytes(process_id):
    with open(f"/proc/{process_id}/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def limit(hand, slot, what, value_of):
    """From now on the rank has no more of it than that."""
    place = hand.hits(slot)
    if place is None:
        return
    try:
        _, hard = resource.prlimit(place[1], what)
        resource.prlimit(place[1], what, (value_of(place[1]), hard))
    except (ProcessLookupError, FileNotFoundError):
        hand.hit.pop()
    hand.look_late()


@kind(3, options=starving, why_not=sanitized)
def memory(hand, plan):
    """a rank cannot have more memory (RLIMIT_AS)"""
    spare_bytes = 4096 * int(plan.second_after_ms)  # 0 to 800 KiB
    limit(hand, plan.slots[0], resource.RLIMIT_AS, lambda process_id: address_bytes(process_id) + spare_bytes)


@kind(3, aims=2, losses=2, options=starving, why_not=sanitized)
def memory_and_rank(hand, plan):
    """a rank cannot have more memory, and another is killed, so that there is a rebuild"""
    spare_bytes = 4096 * int(plan.second_after_ms)
    limit(hand, plan.slots[1], resource.RLIMIT_AS, lambda process_id: address_bytes(process_id) + spare_bytes)
    hand.signal(plan.slots[0], signal.SIGKILL)


@kind(2, options=starving)
def descriptors(hand, plan):
    """a rank cannot have more descriptors (RLIMIT_NOFILE)"""
    limit(hand, plan.slots[0], resource.RLIMIT_NOFILE, lambda process_id: 3)


@kind(3, aims=2, losses=2, options=starving)
def descriptors_and_rank(hand, plan):
    """a rank cannot have more than a few descriptors, and another is killed, so that there is a rebuild"""
    free = int(plan.second_after_ms) % 8
    limit(hand, plan.slots[1], resource.RLIMIT_NOFILE,
          lambda process_id: len(os.listdir(f"/proc/{process_id}/fd")) + free)
    hand.signal(plan.slots[0], signal.SIGKILL)


# ---- clocks ----

def no_faketime(plan):
    if not any(os.path.exists(path) for path in LIBFAKETIME):
        return "there is no libfaketime (package faketime)"
    return sanitized(plan)


def fake_clock(plan, job):
    """Of all processes of the job, or of one host's: the wall clock alone, as where a machine's clock is set. What the
    file says is read again every second."""
    with open(job.path("clock"), "w", encoding="ascii") as file:
        file.write("+0\n")
    return {"LD_PRELOAD": next(path for path in LIBFAKETIME if os.path.exists(path)),
            "FAKETIME_TIMESTAMP_FILE": job.path("clock"), "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DISABLE_SHM": "1"}


def long_enough(plan):
    plan.step_ms = 25
    plan.steps += 40
    plan.traced = False


def set_clock(hand, plan):
    with open(hand.job.path("clock"), "w", encoding="ascii") as file:
        file.write(f"{plan.clock_step_s:+d}\n")
    time.sleep(1.1)


@kind(2, aims=0, losses=0, adjust=long_enough, environment=fake_clock, why_not=no_faketime)
def clock_step(hand, plan):
    """the wall clock is set forward or back by 7 s, an hour, a day: of all, or of one host"""
    set_clock(hand, plan)


@kind(2, adjust=long_enough, environment=fake_clock, why_not=no_faketime)
def clock_step_and_rank(hand, plan):
    """the wall clock is set, and then a rank is killed"""
    set_clock(hand, plan)
    hand.signal(plan.slots[0], signal.SIGKILL)


@kind(2, aims=0, losses=0, adjust=long_enough, environment=fake_clock, why_not=no_faketime)
def clock_step_and_coordinator(hand, plan):
    """the wall clock is set, and then the coordinator is killed, with its journal or without"""
    set_clock(hand, plan)
    hand.kill_coordinator(plan.down_ms, with_journal=plan.coin)
