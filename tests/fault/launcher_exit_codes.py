# SPDX-License-Identifier: Apache-2.0
"""The exit codes of `muster run`, as its --help lists them."""
import signal

from fault import FAST, MODES, RANK, Place, main


def all_ended_well():
    for mode in MODES:
        with Place() as place:
            place.run("-n", "3", *mode, "--", "true").ends_with(0)


def a_rank_that_fails_before_it_joins():
    for mode in MODES:
        with Place() as place:
            place.run("-n", "3", *mode, "--", "sh", "-c", "exit 7").ends_with(1) \
                .says("ended with exit code 7").says("before it joined")


def others_are_ended_with_it():
    with Place() as place:
        place.run("-n", "2", "--", "sh", "-c",
                  '[ "$MUSTER_SLOT" = 1 ] && exit 9; sleep 1000').ends_with(1)


def a_command_that_is_not_there():
    for mode in MODES:
        with Place() as place:
            place.run("-n", "2", *mode, "--", "/no/such/command").ends_with(2) \
                .says("'/no/such/command' cannot be started: No such file")
    with Place() as place:
        place.run("-n", "1", "--", "/etc/passwd").ends_with(2).says("Permission denied")


def a_slot_that_dies_again_and_again():
    for policy in ("replace", "shrink"):
        with Place() as place:
            run = place.run("-n", "3", *FAST, "--on-loss", policy, "--min-ranks", "3",
                            "--", RANK, "50", "0", "crash", "1", "4")
            run.ends_with(3).says("gave up")


def a_slot_that_dies_before_every_join():
    with Place() as place:
        place.run("-n", "2", *FAST, "--", "sh", "-c", "kill -9 $$").ends_with(3).says("gave up")


def ended_by_a_signal():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with Place() as place:
            run = place.run("-n", "2", "--", "sh", "-c", "echo up; exec sleep 1000")
            run.waits_to_print(r"\[1.0\] up")
            run.signal(number).ends_with(128 + number)


def a_coordinator_that_is_not_there():
    with Place() as place:
        for endpoint in (f"ipc://{place.folder}/nobody", "tcp://127.0.0.1:1"):
            place.run("-n", "1", "--coordinator", endpoint, "--contact-ms", "300", "--", "true") \
                .ends_with(4).says("does not answer in 300 ms")


def a_rank_that_fails_after_it_left():
    with Place() as place:
        place.run("-n", "2", *FAST, "--", "sh", "-c", f"{RANK} 3 0; exit 5").ends_with(1) \
            .says("slot 0 failed for good with exit code 5")


main(all_ended_well, a_rank_that_fails_before_it_joins, others_are_ended_with_it,
     a_command_that_is_not_there, a_slot_that_dies_again_and_again,
     a_slot_that_dies_before_every_join, ended_by_a_signal, a_coordinator_that_is_not_there,
     a_rank_that_fails_after_it_left)
