# SPDX-License-Identifier: Apache-2.0
"""A TCP relay whose far end can be changed: what a moved address is to those who connect to it."""
import selectors
import socket
import threading


class Switch:
    """Listens on 127.0.0.1; each connection goes to the port that is the target when it is made."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.wake, self.woken = socket.socketpair()
        self.pairs = {}
        self.commands = []
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.command("stop")
        self.thread.join()

    def command(self, what):
        with self.lock:
            self.commands.append(what)
        self.wake.send(b"!")

    def turn_to(self, target):
        """From now on to that port; the connections that there are end."""
        self.target = target
        self.command("cut")

    def close(self, selector, end):
        for one in (end, self.pairs.pop(end, None)):
            if one is not None:
                self.pairs.pop(one, None)
                selector.unregister(one)
                one.close()

    def accept(self, selector):
        try:
            near, _ = self.listener.accept()
        except OSError:
            return
        try:
            far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
        except OSError:
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            one.setblocking(True)
            self.pairs[one] = other
            selector.register(one, selectors.EVENT_READ, "pass")

    def pass_on(self, selector, end):
        other = self.pairs.get(end)
        if other is None:
            return
        try:
            data = end.recv(65536)
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        self.close(selector, end)

    def serve(self):
        selector = selectors.DefaultSelector()
        selector.register(self.listener, selectors.EVENT_READ, "accept")
        selector.register(self.woken, selectors.EVENT_READ, "command")
        while True:
            for key, _ in selector.select():
                if key.data == "accept":
                    self.accept(selector)
                elif key.data == "pass":
                    self.pass_on(selector, key.fileobj)
                else:
                    self.woken.recv(64)
                    with self.lock:
                        commands, self.commands = self.commands, []
                    for end in list(self.pairs):
                        if end in self.pairs:
                            self.close(selector, end)
                    if "stop" in commands:
                        self.listener.close()
                        return
