# SPDX-License-Identifier: Apache-2.0
"""Two coordinators for one job: the second is refused where it can be, and where it cannot, because the
journal was copied and the address moved, the first fences itself as soon as it hears of the other."""
import json
import os
import re
import shutil
import signal
import time

from fault import FAST, RANK, Place, check, main, rank_of, wait_for
from switch import Switch


def a_coordinator(place, name, *more, endpoint="tcp://127.0.0.1:*"):
    started = place.coordinator("--bind", endpoint, "--journal", place.path(f"journal.{name}"),
                                "--events", place.path(f"events.{name}"), "--ready-fd", "1", *more)
    bound = started.waits_to_print(r"\S+://\S+").group(0)
    return started, bound


def port_of(endpoint):
    return int(endpoint.rsplit(":", 1)[1])


def events(place, name):
    """What is whole of it by now."""
    with open(place.path(f"events.{name}"), encoding="utf-8") as file:
        return [json.loads(line) for line in file.read().split("\n")[:-1]]


def of_kind(place, name, kind):
    return [event for event in events(place, name) if event["kind"] == kind]


def a_second_one_is_refused():
    with Place() as place:
        endpoint = f"ipc://{place.folder}/socket"
        first, _ = a_coordinator(place, "one", endpoint=endpoint)
        place.coordinator("--bind", "tcp://127.0.0.1:*", "--journal", place.path("journal.one")
                          ).ends_with(2).says("held by another coordinator")
        place.coordinator("--bind", endpoint, "--journal", place.path("journal.two")
                          ).ends_with(2).says("is taken")
        # A stopped one, too: it would wake up.
        first.signal(signal.SIGSTOP)
        place.coordinator("--bind", "tcp://127.0.0.1:*", "--journal", place.path("journal.one")
                          ).ends_with(2).says("held by another coordinator")
        place.coordinator("--bind", endpoint, "--journal", place.path("journal.two")
                          ).ends_with(2).says("is taken")
        # And from a copy only who says that he knows.
        shutil.copy(place.path("journal.one"), place.path("journal.copy"))
        place.coordinator("--bind", "tcp://127.0.0.1:*", "--journal", place.path("journal.copy")
                          ).ends_with(2).says("is a copy")
        first.signal(signal.SIGCONT).signal(signal.SIGTERM).ends_with(0)


def the_stale_one_fences_itself():
    with Place() as place:
        one, one_at = a_coordinator(place, "one")
        with Switch(port_of(one_at)) as switch:
            run = place.run("-n", "3", *FAST, "--coordinator", f"tcp://127.0.0.1:{switch.port}", "--",
                            RANK, "600", "10")
            run.waits_to_print("step 10 ")
            one.signal(signal.SIGSTOP)
            shutil.copy(place.path("journal.one"), place.path("journal.two"))
            two, two_at = a_coordinator(place, "two", "--journal-copied")
            switch.turn_to(port_of(two_at))
            wait_for(lambda: run.err.count("the coordinator is back") == 1, "the second coordinator")
            os.kill(rank_of(run, 1), signal.SIGKILL)
            run.waits_to_say("epoch 2 has 3 ranks")
            # The first wakes up, and for a moment everybody is connected to it.
            one.signal(signal.SIGCONT)
            switch.turn_to(port_of(one_at))
            wait_for(lambda: any("another coordinator serves this job" in event["text"]
                                 for event in of_kind(place, "one", "term")),
                     "the first one to hear of the second")
            time.sleep(0.2)
            switch.turn_to(port_of(two_at))
            os.kill(rank_of(run, 2), signal.SIGKILL)
            run.ends_with(0).says("epoch 3 has 3 ranks")
            lost = re.findall(r"verdict: slot (\d+) is lost", run.err)
            check(lost == ["1", "2"], run.everything())
            check(not of_kind(place, "one", "verdict"),
                  f"the stale one gave a verdict: {events(place, 'one')}")
        one.signal(signal.SIGTERM).ends_with(0)
        two.signal(signal.SIGTERM).ends_with(0)


if __name__ == "__main__":
    main(a_second_one_is_refused, the_stale_one_fences_itself)
