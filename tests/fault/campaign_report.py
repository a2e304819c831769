# SPDX-License-Identifier: Apache-2.0
"""How long things took, in one run and in all of them."""
import json
import math

NS_PER_MS = 1e6


def measure(job, hand):
    """{name: [milliseconds]} of one run."""
    plan = job.plan
    times = {}
    first = {}
    for note in job.events.of("verdict"):
        first.setdefault((note["slot"], note["incarnation"]), note["time_ns"])
    for slot, incarnation, when_ns in hand.hit:
        verdict_ns = first.get((slot, incarnation))
        if verdict_ns is not None and verdict_ns > when_ns:
            times.setdefault(f"detect_ms({plan.kind})", []).append((verdict_ns - when_ns) / NS_PER_MS)
    how = "shrink" if plan.on_loss == "shrink" else "spare" if plan.spares else "fresh"
    if plan.place == "hosts":
        how += ", hosts"
    recoveries = max((_recoveries(job.path(f"report.{letter}")) for letter in plan.letters()), key=len)
    for recovery in recoveries:
        if recovery.get("complete"):
            for name, key in (("release_ms", "release_ms"), (f"rebuild_ms({how})", "rebuild_ms")):
                if recovery.get(key) is not None:
                    times.setdefault(name, []).append(recovery[key])
    return times


def _recoveries(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)["recoveries"]
    except (OSError, ValueError, KeyError):
        return []


def quantile(values, share):
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def print_times(all_times):
    times = {}
    for one in all_times:
        for name, values in one.items():
            times.setdefault(name, []).extend(values)
    for name, values in sorted(times.items()):
        print(f"campaign: {name} n={len(values)} median={quantile(values, 0.5):.1f} "
              f"p99={quantile(values, 0.99):.1f} worst={max(values):.1f}")
