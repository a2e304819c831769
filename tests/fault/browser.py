# SPDX-License-Identifier: Apache-2.0
"""A real browser without a window, told what to do over a pipe (the DevTools protocol)."""
import base64
import json
import os
import select
import shutil
import subprocess
import time

from fault import LIMIT, check, wait_for

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]


def find():
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    def __init__(self, program, folder):
        to_read, self.to_write = os.pipe()
        self.to_read, to_write = os.pipe()

        def pipes():  # it reads from 3 and writes to 4
            os.dup2(to_read, 100)
            os.dup2(to_write, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)
        with open(os.path.join(folder, "browser.log"), "wb") as log:
            self.process = subprocess.Popen(
                [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--no-first-run", "--disable-background-networking", "--remote-debugging-pipe",
                 f"--user-data-dir={folder}/browser"], preexec_fn=pipes, close_fds=False,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=dict(os.environ, HOME=folder, XDG_CONFIG_HOME=folder, XDG_CACHE_HOME=folder))
        os.close(to_read)
        os.close(to_write)
        self.heard, self.events, self.last_id, self.session = b"", [], 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + LIMIT
        while True:
            answer = self.hear(end)
            check(answer is not None, f"the browser does not answer {method}")
            if answer.get("id") == self.last_id:
                check("error" not in answer, f"{method}: {answer}")
                return answer["result"]
            self.events.append(answer)

    def hear(self, end):
        while b"\0" not in self.heard:
            ready, _, _ = select.select([self.to_read], [], [], max(0, end - time.monotonic()))
            some = os.read(self.to_read, 65536) if ready else b""
            if not some:
                return None
            self.heard += some
        one, self.heard = self.heard.split(b"\0", 1)
        return json.loads(one)

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.waits_for("document.readyState === 'complete'")

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        check("exceptionDetails" not in answer, f"{expression}: {answer}")
        return answer["result"].get("value")

    def waits_for(self, expression):
        try:
            return wait_for(lambda: self.value(expression), expression)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.value('document.body.innerText')}") from None

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)

    def picture(self, path):
        image = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(image))

    def said(self, method):
        self.value("1")  # whatever has happened is heard by then
        return [event["params"] for event in self.events if event["method"] == method]

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.to_read)
        os.close(self.to_write)
