# SPDX-License-Identifier: Apache-2.0
"""The status page in a real browser, while a job loses a rank and its coordinator. Pictures of it lie in
the build folder afterwards."""
import os
import signal
import sys

import browser
from fault import BUILD, RANK, Place, check, main, rank_of
from status import OFTEN, is_coordinator
from status_view import View

# Were it taken for markup, it would run.
NAME = "<img src=x onerror=\"window.broken=1\">"
TEXT = "document.body.innerText"
ROW = "document.querySelectorAll('table.of-slots tbody tr')"


def waits_to_show(page, text):
    page.waits_for(f"{TEXT}.includes({text!r})")


def a_loss_is_seen_without_a_reload(page, run):
    page.value("window.same = true")
    os.kill(rank_of(run, 1), signal.SIGKILL)
    waits_to_show(page, "slot 1.0")
    waits_to_show(page, "epoch 2 with 3 ranks after")
    page.waits_for(f"{ROW}[1].querySelector('[data-name=incarnation]').textContent === '1'")
    page.waits_for(f"{ROW}[1].querySelector('[data-name=epoch]').textContent === '2'")
    check(page.value("window.same") is True, "the page was loaded anew")


def the_coordinator_is_missed_and_seen_again(page, place):
    coordinator = next(number for number in place.processes() if is_coordinator(number))
    os.kill(coordinator, signal.SIGSTOP)
    page.waits_for("!document.getElementById('banner').hidden")
    waits_to_show(page, "The coordinator does not answer")
    os.kill(coordinator, signal.SIGCONT)
    page.waits_for("document.getElementById('banner').hidden")


def the_page_is_live():
    with Place() as place:
        run = place.run("-n", "3", "--job", NAME, *OFTEN, "--http", "0", "--", RANK, "1000000", "20")
        run.waits_to_print("step 3 ")
        view = View(run)
        page = browser.Browser(browser.find(), place.folder)
        try:
            page.size(1200, 900)
            page.open(f"{view.url}/")
            waits_to_show(page, NAME)
            page.waits_for("document.getElementById('live').textContent === 'live'")
            page.waits_for(f"{ROW}.length === 3")
            page.waits_for(f"[...{ROW}].every((row) => "
                           "Number(row.querySelector('[data-name=step]').textContent) > 0)")
            a_loss_is_seen_without_a_reload(page, run)
            the_coordinator_is_missed_and_seen_again(page, place)
            page.picture(os.path.join(BUILD, "status-page.png"))
            page.size(390, 800)
            page.waits_for("document.documentElement.scrollWidth <= 390")
            page.picture(os.path.join(BUILD, "status-page-narrow.png"))
            check(page.value("window.broken === undefined"), "a name has become markup")
            asked = {event["request"]["url"] for event in page.said("Network.requestWillBeSent")}
            check(all(url.startswith(view.url) for url in asked), f"it asks others: {asked}")
            check(not page.said("Runtime.exceptionThrown"), page.said("Runtime.exceptionThrown"))
            broken = [entry["entry"] for entry in page.said("Log.entryAdded")
                      if "favicon" not in entry["entry"].get("url", "") and
                      entry["entry"]["source"] != "network"]
            check(not broken, f"it complains: {broken}")
        finally:
            page.close()
        run.signal(signal.SIGTERM).ends_with(128 + signal.SIGTERM)


def who_waits_is_seen():
    with Place() as place:
        run = place.run("-n", "3", *OFTEN, "--http", "0", "--", RANK, "8", "1", "pause", "2", "5")
        run.waits_to_print("step 4 ")
        page = browser.Browser(browser.find(), place.folder)
        try:
            page.open(f"{View(run).url}/")
            page.waits_for("/slots 0, 1\\s*wait in\\s*broadcast \\d+\\s*for\\s*slot 2/.test("
                           f"{TEXT})")
        finally:
            page.close()
        with open(place.path("go"), "wb"):
            pass
        run.ends_with(0)


if browser.find() is None:
    print("skipped: there is no chromium here (apt-get install chromium)")
    sys.exit(77)
main(the_page_is_live, who_waits_is_seen)
