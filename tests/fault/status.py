# SPDX-License-Identifier: Apache-2.0
"""What people, scripts and Prometheus are shown of a job: `muster status` and the HTTP side."""
import json
import os
import re
import signal
import socket
import subprocess

from fault import LIMIT, MUSTER, RANK, Place, check, main, rank_of, wait_for
from status_view import View, muster_status, text_string_to_metric_families

# Silence stays at its default: these tests count verdicts.
OFTEN = ["--heartbeat-ms", "50"]


def a_loss_is_shown_with_its_reason_and_its_recovery():
    with Place() as place:
        run = place.run("-n", "3", *OFTEN, "--http", "0", "--", RANK, "1000000", "10")
        run.waits_to_print("step 3 ")
        view = View(run)
        victim = rank_of(run, 1)
        shown = view.waits_until(lambda job: all(slot["step"] for slot in job["slots"]), "steps")
        check(shown["slots"][1]["process"] > 0 and shown["slots"][1]["incarnation"] == 0, shown)
        check(shown["epoch"] == 1 and shown["verdicts"] == [], shown)
        os.kill(victim, signal.SIGKILL)
        shown = view.waits_until(lambda job: job["counts"]["recoveries"] == 1 and
                                 job["slots"][1]["step"], "the recovery")
        verdict = shown["verdicts"][0]
        check(len(shown["verdicts"]) == 1 and verdict["slot"] == 1 and verdict["epoch"] == 1 and
              verdict["incarnation"] == 0 and verdict["reason"] and
              "slot 1" in verdict["text"], verdict)
        check(shown["epoch"] == 2 and shown["slots"][1]["incarnation"] == 1, shown)
        check([slot["epoch"] for slot in shown["slots"]] == [2, 2, 2], shown["slots"])
        recovery = shown["recoveries"][0]
        check(recovery["state"] == "done" and recovery["slots"] == [1] and recovery["ranks"] == 3 and
              recovery["total_ms"] >= recovery["agree_ms"], recovery)
        last = shown["slots"][0]["last"]
        check(last["calls"] > 0 and last["communicator"] == "world" and last["call"], last)
        metrics_tell_the_same(view)
        commands_tell_the_same(place)
        run.signal(signal.SIGTERM).ends_with(128 + signal.SIGTERM)


def metrics_tell_the_same(view):
    samples = view.metrics()
    by_name = {}
    for (name, labels), number in samples.items():
        by_name.setdefault(name, {})[tuple(value for _, value in labels)] = number
    check(sum(by_name["muster_job_verdicts_total"].values()) == 1, by_name)
    check(by_name["muster_job_recovery_seconds_count"] == {("job",): 1}, by_name)
    check(by_name["muster_job_recovery_seconds_bucket"][("job", "+Inf")] == 1, by_name)
    check(by_name["muster_job_epoch"] == {("job",): 2}, by_name)
    check(by_name["muster_job_state"][("job", "running")] == 1, by_name)
    check(by_name["muster_rank_incarnation"] == {("job", "0"): 0, ("job", "1"): 1, ("job", "2"): 0},
          by_name)
    check(by_name["muster_rank_committed_step"][("job", "1")] > 0, by_name)
    documents_name_what_there_is(samples)
    again = view.metrics()
    for key, number in samples.items():
        check(not key[0].endswith("_total") or again[key] >= number, f"{key} has fallen")


def documents_name_what_there_is(samples):
    """The table of metrics has all of them, the alerts use no other."""
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name, _ in samples}
    for path, all_of_them in [("recovery/status/README.md", True),
                              ("deploy/prometheus/muster-alerts.yaml", False)]:
        with open(os.path.join(os.environ["MUSTER_SOURCE_DIR"], path), encoding="utf-8") as file:
            text = file.read()
        lines = re.findall(r"^\| (`muster_.*?) \|" if all_of_them else r"expr: (.*)", text, re.M)
        named = {re.sub("_bucket$", "", name) for line in lines
                 for name in re.findall(r"\bmuster_[a-z_]+", line)} - {"muster_job"}
        check(named and named <= shown, f"{path} names {named - shown}")
        check(not all_of_them or named == shown, f"{path} lacks {shown - named}")


def commands_tell_the_same(place):
    shown = json.loads(muster_status(place, "--json"))["jobs"][0]
    check(shown["epoch"] == 2 and shown["verdicts"][0]["slot"] == 1, shown)
    table = muster_status(place)
    check(re.search(r"job job: running, epoch 2 with 3 of 3 ranks, step \d+ committed", table), table)
    check(re.search(r"\bago, epoch 1: .*slot 1", table), table)
    with open(place.path("watched"), "wb") as file:
        watch = subprocess.Popen([MUSTER, "status", "--json", "--watch=50"], stdout=file,
                                 env=place.environment)

    def watched():
        with open(place.path("watched"), encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]
    try:
        wait_for(lambda: len(watched()) > 2 and
                 watched()[-1]["coordinator"]["messages"] > watched()[0]["coordinator"]["messages"],
                 "three looks, and something new")
    finally:
        watch.terminate()
        watch.wait()


def who_waits_for_whom_is_shown():
    with Place() as place:
        run = place.run("-n", "3", *OFTEN, "--http", "0", "--", RANK, "8", "1", "pause", "2", "5")
        run.waits_to_print("step 4 ")
        view = View(run)
        shown = view.waits_until(lambda job: job["waits"] and job["waits"][0]["waiting"] == [0, 1],
                                 "two that wait")
        wait = shown["waits"][0]
        check(wait["awaited"] == [2] and wait["call"] == "broadcast" and
              wait["communicator"] == "world", wait)
        check(shown["slots"][2]["waits"] is None, shown["slots"][2])
        check([slot["waits"]["sequence"] for slot in shown["slots"][:2]] == [wait["sequence"]] * 2,
              shown["slots"])
        table = muster_status(place, "--http", view.host)
        check(re.search(r"slots 0, 1 wait in broadcast \d+ for slot 2\n", table), table)
        check({labels[1][1]: number > 0 for (name, labels), number in view.metrics().items()
               if name == "muster_rank_waiting_seconds"} == {"0": True, "1": True, "2": False},
              "other ranks wait")
        with open(place.path("go"), "wb"):
            pass
        run.ends_with(0)


def a_job_that_forms_says_whom_it_waits_for():
    with Place() as place:
        coordinator = place.coordinator("--bind", f"ipc://{place.path('socket')}", "--http", "0")
        view = View(coordinator)
        check(view.status()["jobs"] == [], "a job before there is one")
        check("no job" not in view.text("/status.txt"), "jobs are told")
        run = place.run("-n", "3", "--slots", "0-1", *OFTEN, "--coordinator",
                        f"ipc://{place.path('socket')}", "--", RANK, "3", "1")
        shown = view.waits_until(lambda job: job["pending"] == [{"slots": [2], "what": "to join"}],
                                 "slot 2 to be missed")
        check(shown["state"] == "forming" and shown["slots"][2]["seat"] == "open", shown)
        check(view.text("/readyz") == "ok\n", "a job that forms does not make it unready")
        other = place.run("-n", "3", "--slots", "2-2", "--coordinator",
                          f"ipc://{place.path('socket')}", "--", RANK, "3", "1")
        run.ends_with(0)
        other.ends_with(0)
        wait_for(lambda: view.status()["jobs"] == [], "the ended job to go")
        coordinator.signal(signal.SIGTERM).ends_with(0)


def names_cannot_become_anything_else():
    """A name that would be markup, a second label, or a command to a terminal."""
    name = "<b>\"\\'\x1b[31m\u202e&amp;"
    with Place() as place:
        socket_at = f"ipc://{place.path('socket')}"
        coordinator = place.coordinator("--bind", socket_at, "--http", "0")
        view = View(coordinator)
        run = place.run("-n", "1", "--job", name, "--coordinator", socket_at, "--", RANK, "3", "1",
                        "pause", "0", "2")
        run.waits_to_print("step 1 ")
        code, headers, body = view.ask("/status")
        check(code == 200 and headers["Content-Type"] == "application/json" and
              headers["X-Content-Type-Options"] == "nosniff", headers)
        check(json.loads(body)["jobs"][0]["name"] == "<b>\"\\'?[31m???&amp;", body)
        check("\x1b" not in view.text("/status.txt"), "a terminal would be told what to do")
        number = json.loads(body)["jobs"][0]["id"]
        check(any(("muster_job", r"<b>\"\\'?[31m???&amp;#" + number) in labels
                  for _, labels in view.metrics()), "the label is not escaped")
        page = view.text("/")
        check("innerHTML" not in page and "document.write" not in page and
              not re.search(r"(src|href)=\"?(https?:)?//", page), "the page takes in markup, or others")
        _, headers, _ = view.ask("/")
        check("default-src 'none'" in headers["Content-Security-Policy"], headers)
        with open(place.path("go"), "wb"):
            pass
        run.ends_with(0)
        coordinator.signal(signal.SIGTERM).ends_with(0)


def it_only_shows():
    with Place() as place:
        coordinator = place.coordinator("--bind", f"ipc://{place.path('socket')}", "--http",
                                        "127.0.0.1:0", "--http", f"unix:{place.path('status')}")
        view = View(coordinator)
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"]:
            for path in ["/", "/status", "/healthz"]:
                code, headers, body = view.ask(path, method, body=b"x" * 100000)
                check(code == 405 and headers["Allow"] == "GET, HEAD", f"{method}: {code} {body}")
        for path in ["/", "/status", "/status.txt", "/metrics", "/healthz", "/readyz"]:
            code, headers, body = view.ask(path, "HEAD")
            check(code == 200 and body == b"" and int(headers["Content-Length"]) > 0, headers)
        check(view.ask("/nothing")[0] == 404 and view.ask("/status/../metrics")[0] == 404, "found")
        for host, wanted in {"evil.example": 403, "localhost.evil.example": 403, "127.evil": 403,
                             "127.0.0.1.evil": 403, "localhost": 200, "localhost:99": 200,
                             "[::1]:99": 200, "127.0.0.1": 200}.items():
            code = view.ask("/status", headers={"Host": host})[0]
            check(code == wanted, f"Host {host}: {code}")
        check(os.stat(place.path("status")).st_mode & 0o777 == 0o600, "others may look")
        check("jobs\":[]" in muster_status(place, "--http", f"unix:{place.path('status')}", "--json"),
              "no answer")
        for junk in [b"\x00\xff" * 500, b"GET " + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 50000 + b"\r\n", b"\r\n\r\n\r\n"]:
            with socket.create_connection(view.host.split(":"), timeout=LIMIT) as talk:
                try:
                    talk.sendall(junk)
                except ConnectionError:
                    pass
        check(view.text("/healthz") == "ok\n", "it is not alive")
        coordinator.signal(signal.SIGTERM).ends_with(0)
        check(not os.path.exists(place.path("status")), "its socket is left")


def many_idle_and_slow_connections_cost_the_job_nothing():
    with Place() as place:
        run = place.run("-n", "3", *OFTEN, "--http", "0", "--", RANK, "1000000", "5")
        run.waits_to_print("step 3 ")
        view = View(run)
        held = []
        for i in range(90):  # all the places, and half of the queue before them
            talk = socket.create_connection(view.host.split(":"), timeout=LIMIT)
            talk.sendall([b"", b"G", b"GET /status HTTP/1.1\r\nHost: loc",
                          b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"][i % 4])
            held.append(talk)
        step = int(re.findall(r"step (\d+) ", run.out)[-1])
        run.waits_to_print(f"step {step + 100} ")
        # The socket of `muster status` is another one, and not held up.
        shown = json.loads(muster_status(place, "--json"))["jobs"][0]
        check(shown["counts"]["verdicts"] == 0 and shown["epoch"] == 1, shown)
        for talk in held:
            talk.close()
        check(view.text("/healthz") == "ok\n", "it is not alive")
        run.signal(signal.SIGTERM).ends_with(128 + signal.SIGTERM)


def addresses_that_cannot_be_are_refused_by_name():
    with Place() as place, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bind = ["--bind", f"ipc://{place.path('socket')}"]
        cases = {str(port): "--http: cannot listen at .*Address already in use",
                 "192.0.2.1:1": "--http: cannot listen at .*Cannot assign requested address",
                 f"unix:{place.path('none/status')}": "--http: cannot listen at .*No such file",
                 "host:80": "--http 'host:80': its host is not an address in numbers; expected PORT",
                 ":80": "--http ':80': its host", "": "--http '': its port",
                 "127.0.0.1:65536": "from 0 to 65535", "[::1": "--http", "unix:": "it has no path",
                 "unix:" + "x" * 200: "too long for a socket"}
        for address, sentence in cases.items():
            place.coordinator(*bind, "--http", address).ends_with(2).says(sentence)
        many = [word for _ in range(5) for word in ("--http", "0")]
        place.coordinator(*bind, *many).ends_with(2).says("--http: at most 4")
        place.run("-n", "1", "--http", "host:80", "--", RANK, "1", "1").ends_with(2).says("--http")
        place.run("-n", "1", "--http", str(port), "--", RANK, "1", "1").ends_with(4).says(
            "--http: cannot listen")
        place.run("-n", "1", "--http", "0", "--coordinator", "tcp://127.0.0.1:1", "--", RANK, "1",
                  "1").ends_with(2).says("--http is for a coordinator of the job's own")
        check("no `muster run`" in muster_status(place, code=4), "no reason")
        check("Connection refused" in muster_status(place, "--http", "127.0.0.1:1", code=4), "no reason")
        check("'--no'" in muster_status(place, "--no", code=2), "no reason")
        check("--watch: expected" in muster_status(place, "--watch=1", code=2), "no reason")


def a_taken_port_does_not_keep_a_coordinator_from_coming_back():
    with Place() as place:
        run = place.run("-n", "2", *OFTEN, "--http", "0", "--", RANK, "1000000", "10")
        run.waits_to_print("step 3 ")
        port = int(View(run).host.rsplit(":", 1)[1])
        run.signal(signal.SIGTERM).ends_with(128 + signal.SIGTERM)
        run = place.run("-n", "2", *OFTEN, "--http", str(port), "--", RANK, "1000000", "10")
        run.waits_to_print("step 3 ")
        process_id = json.loads(muster_status(place, "--json"))["coordinator"]
        check(process_id["term"] > 0, process_id)
        coordinator = next(number for number in place.processes() if is_coordinator(number))
        run.signal(signal.SIGSTOP)
        os.kill(coordinator, signal.SIGKILL)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

            def take():
                try:
                    taken.bind(("127.0.0.1", port))
                    taken.listen()
                    return True
                except OSError:
                    return False
            wait_for(take, "the port to be free")
            run.signal(signal.SIGCONT)
            run.waits_to_say("the coordinator is back")
            check(json.loads(muster_status(place, "--json"))["jobs"], "no job is shown")
        run.signal(signal.SIGTERM).ends_with(128 + signal.SIGTERM)


def is_coordinator(process_id):
    try:
        with open(f"/proc/{process_id}/cmdline", "rb") as file:
            return file.read().split(b"\0")[:2] == [b"muster", b"coordinator"]
    except OSError:
        return False


if __name__ == "__main__":
    if text_string_to_metric_families is None:
        print("note: python3-prometheus-client is missing; metrics are checked by this test's own rules only")
    main(a_loss_is_shown_with_its_reason_and_its_recovery, who_waits_for_whom_is_shown,
         a_job_that_forms_says_whom_it_waits_for, names_cannot_become_anything_else, it_only_shows,
         many_idle_and_slow_connections_cost_the_job_nothing,
         addresses_that_cannot_be_are_refused_by_name,
         a_taken_port_does_not_keep_a_coordinator_from_coming_back)
