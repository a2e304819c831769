# SPDX-License-Identifier: Apache-2.0
"""What the ranks print: every line once, whole, with the rank's name; and nobody waits for a reader."""
import os
import re
import time

from fault import Place, check, main


def lines_have_prefixes_and_keep_their_stream():
    with Place() as place:
        run = place.run("-n", "2", "--", "sh", "-c",
                        "echo out $MUSTER_SLOT; echo err $MUSTER_SLOT >&2; printf 'no end'")
        run.ends_with(0)
        check(sorted(run.out.splitlines()) ==
              ["[0.0] no end", "[0.0] out 0", "[1.0] no end", "[1.0] out 1"], run.everything())
        ranks = sorted(line for line in run.err.splitlines() if line.startswith("["))
        check(ranks == ["[0.0] err 0", "[1.0] err 1"], run.everything())


def without_prefix_the_bytes_are_the_ranks():
    with Place() as place:
        run = place.run("-n", "1", "--no-prefix", "--", "printf", "a\\nb").ends_with(0)
        check(run.out == "a\nb", run.everything())


def a_flood_comes_through_whole():
    with Place() as place:
        run = place.run("-n", "3", "--", "sh", "-c",
                        "seq 1 30000; head -c 20000 /dev/zero | tr '\\0' z; echo").ends_with(0)
        lines = run.out.splitlines()
        for slot in range(3):
            own = [line[6:] for line in lines if line.startswith(f"[{slot}.0] ")]
            numbers = [line for line in own if line.isdigit()]
            check(numbers == [str(i) for i in range(1, 30001)], f"slot {slot} lacks lines")
            check(sum(line.count("z") for line in own) == 20000, f"slot {slot} lacks bytes")
        check(all(re.match(r"\[[012]\.0\] ", line) for line in lines), "a line has no prefix")


def a_reader_that_is_gone_stops_nobody():
    with Place() as place:
        reader, writer = os.pipe()
        run = place.run("-n", "2", "--", "seq", "1", "100000", stdout=writer)
        os.close(writer)
        os.close(reader)
        run.ends_with(0)


def a_reader_that_does_not_read_stops_no_ending():
    with Place() as place:
        reader, writer = os.pipe()
        run = place.run("-n", "2", "--grace-ms", "200", "--", "yes", stdout=writer)
        os.close(writer)
        run.waits_to_say("grandchildren")
        run.signal(15).ends_with(128 + 15)
        os.close(reader)


def stdin_is_empty():
    with Place() as place:
        run = place.run("-n", "1", "--", "sh", "-c", "cat; echo read").ends_with(0)
        check(run.out == "[0.0] read\n", run.everything())


def the_environment_is_as_documented():
    with Place() as place:
        place.environment["MUSTER_SLOT"] = "77"  # an outer job's
        place.environment["KEPT"] = "yes"
        # The ranks wait for the spare: with them the job is over, and it is killed.
        spare_was_here = place.path("spare_was_here")
        run = place.run("-n", "2", "--job", "train", "--spares", "1", "--", "sh", "-c",
                        "env | grep -E '^(MUSTER_|KEPT)' | sort; "
                        f"[ \"$MUSTER_SLOT\" != spare ] || touch {spare_was_here}; "
                        f"until [ -e {spare_was_here} ]; do sleep 0.05; done; exit 0")
        run.ends_with(0)
        own = [line[6:] for line in run.out.splitlines() if line.startswith("[1.0] ")]
        wanted = {"MUSTER_JOB=train", "MUSTER_SLOT=1", "MUSTER_SLOT_COUNT=2",
                  "MUSTER_INCARNATION=0", "KEPT=yes"}
        check(wanted <= set(own), run.everything())
        check(len([line for line in own if line.startswith("MUSTER_SLOT=")]) == 1, own)
        check(any(line.startswith("MUSTER_COORDINATOR=ipc://") for line in own), own)
        check("[spare] MUSTER_SLOT=spare" in run.out, run.everything())


def cpu_seconds(process_id):
    with open(f"/proc/{process_id}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def a_launcher_with_nothing_to_do_does_nothing():
    # The end of a pipe is readable for ever: a launcher that polled one took a whole core from the
    # ranks. It has one of its own (the coordinator's), and one of a rank that closed its output.
    with Place() as place:
        run = place.run("-n", "2", "--", "sh", "-c", "exec >&- 2>&-; sleep 3")
        run.waits_to_say("grandchildren")
        time.sleep(2.5)
        spent = cpu_seconds(run.process.pid)
        check(spent < 1, f"the launcher spent {spent} s of CPU time in 2.5 idle seconds")
        run.ends_with(0)


main(lines_have_prefixes_and_keep_their_stream, without_prefix_the_bytes_are_the_ranks,
     a_flood_comes_through_whole, a_reader_that_is_gone_stops_nobody,
     a_reader_that_does_not_read_stops_no_ending, stdin_is_empty,
     the_environment_is_as_documented, a_launcher_with_nothing_to_do_does_nothing)
