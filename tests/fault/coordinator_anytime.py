# SPDX-License-Identifier: Apache-2.0
"""A coordinator that is killed at any moment, ranks too, and comes back from its journal: no epoch twice,
no death twice, no step lost. Prints how soon after its return everybody was back.

Alone: coordinator_anytime.py [SEED [KILLS]]"""
import os
import random
import re
import signal
import statistics
import sys
import time

from coordinator_second import a_coordinator, events
from fault import FAST, RANK, Place, check, main, wait_for

SEED = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 7
KILLS = int(sys.argv[2]) if len(sys.argv) > 2 else 8
RANKS = 3


def living(run):
    """The newest process of each slot."""
    found = {}
    for process_id in run.place.processes():
        try:
            with open(f"/proc/{process_id}/environ", "rb") as file:
                words = dict(word.split(b"=", 1) for word in file.read().split(b"\0") if b"=" in word)
        except OSError:
            continue
        if words.get(b"MUSTER_SLOT", b"").isdigit():
            slot, incarnation = int(words[b"MUSTER_SLOT"]), int(words[b"MUSTER_INCARNATION"])
            found[slot] = max(found.get(slot, (-1, 0)), (incarnation, process_id))
    return {slot: process_id for slot, (_, process_id) in found.items()}


def kill(process_id):
    try:
        os.kill(process_id, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


def back_again(place, endpoint, run, backs):
    """Starts it; the seconds until the launcher has heard it and every rank that lived."""
    coordinator, _ = a_coordinator(place, "any", endpoint=endpoint)
    start = time.monotonic()
    run.waits_for("the coordinator is back", lambda: "the coordinator is back"
                  if run.err.count("the coordinator is back") > backs
                  or run.process.poll() is not None else "")
    return coordinator, time.monotonic() - start


def killed_at_any_moment():
    chance = random.Random(SEED)
    took = []
    deaths = 0
    with Place() as place:
        endpoint = f"ipc://{place.folder}/socket"
        coordinator, _ = a_coordinator(place, "any", endpoint=endpoint)
        run = place.run("-n", str(RANKS), *FAST, "--crash-loop-deaths", "50", "--coordinator",
                        endpoint, "--", RANK, "1500", "5")
        run.waits_to_print("step 10 ")
        for _ in range(KILLS):
            backs = run.err.count("the coordinator is back")
            kill_rank = chance.random() < 0.7
            before = chance.random() < 0.5
            slots = living(run)
            victim = slots[chance.choice(sorted(slots))] if slots else None
            # Before: the verdict is under way. After: it happens while nobody looks.
            killed = False
            if kill_rank and before and victim:
                killed = kill(victim)
                time.sleep(chance.random() * 0.03)
            coordinator.signal(signal.SIGKILL).ends_with(-signal.SIGKILL)
            if kill_rank and not before and victim:
                killed = kill(victim)
            deaths += killed
            steps = run.out.count("step ")
            time.sleep(chance.random() * 0.1)
            if not kill_rank:
                wait_for(lambda: run.out.count("step ") > steps, "a batch without a coordinator")
            coordinator, seconds = back_again(place, endpoint, run, backs)
            took.append(seconds)
            steps = run.out.count("step ")
            wait_for(lambda: run.out.count("step ") > steps + 3, "the job to go on")
        run.ends_with(0)
        coordinator.signal(signal.SIGTERM).ends_with(0)
        said = events(place, "any")
        agreed = [event["epoch"] for event in said
                  if event["kind"] == "agreed" and event["slot"] < 0]
        check(agreed == sorted(set(agreed)), f"epochs {agreed}")
        lost = [(event["slot"], event["incarnation"]) for event in said
                if event["kind"] == "verdict"]
        check(len(lost) == len(set(lost)), f"a death was told twice: {lost}")
        check(len(lost) >= deaths, f"{deaths} were killed, {len(lost)} verdicts")
        check(int(re.findall(r"step (\d+) of", run.out)[-1]) == 1500, run.everything())
        print(f"        seed {SEED}: {KILLS} times; back after a median of "
              f"{statistics.median(took) * 1000:.0f} ms, at worst {max(took) * 1000:.0f}")


if __name__ == "__main__":
    sys.argv[1:] = []
    main(killed_at_any_moment)
