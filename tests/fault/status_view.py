# SPDX-License-Identifier: Apache-2.0
"""A coordinator's HTTP side as its readers see it: requests, and what a metrics text must look like."""
import http.client
import json
import re
import subprocess
import sys
import urllib.parse

from fault import LIMIT, MUSTER, check, wait_for

# Debian's package, where the Python that runs this is another one.
sys.path.append("/usr/lib/python3/dist-packages")
try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    text_string_to_metric_families = None

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (\S+)')
UNITS = ("_seconds", "_total", "_info")
# What is counted, numbered or named, and so has no unit.
PLAIN = {"muster_coordinator_term", "muster_coordinator_connections", "muster_jobs",
         "muster_job_state", "muster_job_epoch", "muster_job_ranks", "muster_job_slots",
         "muster_job_suspected", "muster_job_waiting", "muster_job_spares", "muster_job_launchers",
         "muster_job_replacements", "muster_job_committed_step", "muster_rank_up",
         "muster_rank_incarnation", "muster_rank_committed_step"}


class View:
    """Where a run or a coordinator has said that its status is."""

    def __init__(self, started):
        self.url = started.waits_to_say(r"its status is at (http://\S+)/").group(1)
        self.host = urllib.parse.urlsplit(self.url).netloc

    def ask(self, path, method="GET", headers=None, body=None):
        """The answer's code, headers and bytes; where the machine was so busy that it is 503, the next."""
        return wait_for(lambda: self.ask_once(path, method, headers, body), f"{path} to be shown")

    def ask_once(self, path, method, headers, body):
        connection = http.client.HTTPConnection(self.host, timeout=LIMIT)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            content = answer.read()
            return answer.status != 503 and (answer.status, dict(answer.getheaders()), content)
        finally:
            connection.close()

    def text(self, path):
        code, _, body = self.ask(path)
        check(code == 200, f"{path}: {code} {body!r}")
        return body.decode()

    def status(self):
        return json.loads(self.text("/status"))

    def job(self):
        """The first one; None: there is none yet."""
        return next(iter(self.status()["jobs"]), None)

    def waits_until(self, condition, what):
        """The first job that fits; the job as it was last seen is in the failure."""
        last = {}

        def fits():
            last["job"] = self.job()
            return last["job"] if last["job"] and condition(last["job"]) else None
        try:
            return wait_for(fits, what)
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(last, indent=1)}") from None

    def metrics(self):
        text = self.text("/metrics")
        return samples_of(text)


def samples_of(text):
    """{(name, ((label, value), ...)): number}; refuses what Prometheus or `promtool check metrics` would."""
    check(text.endswith("\n"), "the last line does not end")
    samples, family, kind, families = {}, None, None, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            check(family not in families, f"{family} comes twice")
            check(len(line.split(" ", 3)[3]) > 5, f"{family} has no help")
            families.add(family)
            kind = None
        elif line.startswith("# TYPE "):
            check(line.split(" ")[2] == family, f"{line} does not follow its HELP")
            kind = line.split(" ")[3]
            check((kind == "counter") == family.endswith("_total"), f"a {kind} is called {family}")
            check(family.endswith(UNITS) or family in PLAIN, f"{family} has no unit")
        else:
            match = SAMPLE.fullmatch(line)
            check(match and kind, f"no sample: {line!r}")
            suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            check(match[1] in {family + suffix for suffix in suffixes}, f"{match[1]} in {family}")
            labels = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2] or "")
            key = (match[1], tuple(labels))
            check(key not in samples, f"{key} comes twice")
            samples[key] = float(match[3])
    official(text, len(samples))
    return samples


def official(text, count):
    """Prometheus' own parser for Python must see as many samples."""
    if text_string_to_metric_families is None:
        return
    seen = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    check(len(seen) == count, f"its parser sees {len(seen)} samples, not {count}")


def muster_status(place, *arguments, code=0):
    def shown():
        done = subprocess.run([MUSTER, "status", *arguments], text=True, capture_output=True,
                              check=False, env=place.environment, timeout=LIMIT, cwd=place.folder)
        return None if "code 503" in done.stderr else done
    done = wait_for(shown, "the status")
    check(done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout if code == 0 else done.stderr
