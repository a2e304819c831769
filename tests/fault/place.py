# SPDX-License-Identifier: Apache-2.0
"""What the other fault tests stand on."""
from fault import Place, check, main

NO_PROCESS = 2 ** 30  # above any number that the kernel gives


def a_process_that_ends_before_it_is_killed_hides_nothing():
    """The test's own failure is what is seen."""
    seen = None
    try:
        with Place() as place:
            place.processes = lambda: [NO_PROCESS]
            raise AssertionError("of the test")
    except AssertionError as error:
        seen = str(error)
    check(seen == "of the test", f"{seen} was seen")


main(a_process_that_ends_before_it_is_killed_hides_nothing)
