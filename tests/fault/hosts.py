# SPDX-License-Identifier: Apache-2.0
"""Several hosts on one machine: network namespaces around a router, each with a link of its own that can be cut, in both
directions or in one.

    with hosts.Network("abc") as network:
        network["a"].command(["muster", ...])    what to start, so that it runs on that host
        network.cut("a", "b")                    nothing goes between the two; both still reach c
        network.cut("a", "b", one_way=True)      nothing goes from a to b
        network.lose("a", "b", 0.1)              one packet of ten between the two is lost (iptables)
        network.disturb(20, 15, 0, 0.01, seed)   all packets late and out of order, some twice (relay.py)
        network.heal()
        network["b"].vanish()                    its link is gone, then every process on it

Ranks see what they would see on machines: other addresses, no shared memory, no word when a host is gone."""
import os
import shutil
import signal
import subprocess
import sys
import time

SKIP = 77


def _ip(*arguments, check=True):
    done = subprocess.run(["ip", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done


def why_not():
    """None where namespaces can be made here, else the reason."""
    if shutil.which("ip") is None:
        return "there is no ip command (package iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"mh{os.getpid()}"
    try:
        made = _ip("netns", "add", name, check=False)
        if made.returncode != 0:
            return f"network namespaces cannot be made: {made.stderr.strip()}"
        veth = _ip("-n", name, "link", "add", "v0", "type", "veth", "peer", "name", "v1", check=False)
        rule = _ip("-n", name, "rule", "add", "from", "10.0.0.1", "blackhole", check=False)
        for tried in (veth, rule):
            if tried.returncode != 0:
                return f"the kernel lacks something: {tried.stderr.strip()}"
        with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii"):
            return None
    except OSError as error:
        return str(error)
    finally:
        _ip("netns", "del", name, check=False)


def why_no_loss():
    """None where packets can be lost at random here, else the reason."""
    if shutil.which("iptables") is None:
        return "there is no iptables command (package iptables)"
    return _tried(["iptables", "-A", "FORWARD", "-m", "statistic", "--mode", "random", "--probability", "0.5", "-j", "DROP"],
                  "packets cannot be lost here")


def why_no_relay():
    """None where a relay can delay packets here, else the reason."""
    return _tried(["ip", "tuntap", "add", "dev", "mhtun", "mode", "tun"], "there can be no TUN device here")


def _tried(command, sentence):
    """What a command says that fails in a namespace of its own."""
    name = f"mh{os.getpid()}"
    try:
        _ip("netns", "add", name)
        done = subprocess.run(["ip", "netns", "exec", name, *command], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True)
        return f"{sentence}: {done.stderr.strip()}" if done.returncode != 0 else None
    except (OSError, RuntimeError) as error:
        return f"{sentence}: {error}"
    finally:
        _ip("netns", "del", name, check=False)


def need():
    """Ends the program as skipped where there can be no network."""
    reason = why_not()
    if reason is not None:
        print(f"skip: {reason}")
        sys.exit(SKIP)


class Host:
    def __init__(self, network, letter, number):
        self.network = network
        self.name = f"mh{os.getpid()}{letter}"
        self.letter = letter
        self.address = f"10.77.{number}.2"
        self.gateway = f"10.77.{number}.1"
        self.link = f"r{letter}"
        router = network.router
        _ip("netns", "add", self.name)
        _ip("-n", router, "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("-n", router, "addr", "add", f"{self.gateway}/24", "dev", self.link)
        _ip("-n", router, "link", "set", self.link, "up")
        _ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", self.name, "link", "set", device, "up")
        _ip("-n", self.name, "route", "add", "default", "via", self.gateway)

    def command(self, arguments):
        return ["ip", "netns", "exec", self.name, *arguments]

    def environment(self):
        """For what runs there: the boot id is the machine's, so the control plane must be told."""
        return {"MUSTER_HOST_ID": self.letter}

    def processes(self):
        listed = _ip("netns", "pids", self.name, check=False)
        return [int(word) for word in listed.stdout.split()]

    def link_down(self):
        _ip("-n", self.network.router, "link", "set", self.link, "down")

    def link_up(self):
        _ip("-n", self.network.router, "link", "set", self.link, "up")

    def kill_all(self):
        """As a power cut does, but for what the kernel says on the network when a process ends."""
        for process_id in self.processes():
            try:
                os.kill(process_id, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def vanish(self):
        self.link_down()
        self.kill_all()


class Network:
    def __init__(self, letters):
        self.letters = letters
        self.router = f"mh{os.getpid()}"
        self.hosts = {}
        self.rules = []
        self.relay = None

    def __enter__(self):
        _ip("netns", "add", self.router)
        try:
            # What a relay writes back comes from a device that no route leads to.
            _ip("netns", "exec", self.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; "
                "for name in all default; do echo 0 > /proc/sys/net/ipv4/conf/$name/rp_filter; done")
            _ip("-n", self.router, "link", "set", "lo", "up")
            for number, letter in enumerate(self.letters, 1):
                self.hosts[letter] = Host(self, letter, number)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        self._end_relay()
        for host in self.hosts.values():
            host.kill_all()
            end = time.monotonic() + 10
            while host.processes() and time.monotonic() < end:
                time.sleep(0.02)
            _ip("netns", "del", host.name, check=False)
        _ip("netns", "del", self.router, check=False)

    def __getitem__(self, letter):
        return self.hosts[letter]

    def cut(self, one, other, one_way=False):
        """The router drops what goes between two hosts; neither is told."""
        pairs = [(one, other)] if one_way else [(one, other), (other, one)]
        for source, target in pairs:
            rule = ["from", self[source].address, "to", self[target].address, "blackhole"]
            _ip("-n", self.router, "rule", "add", *rule)
            self.rules.append(rule)

    def _in_router(self, *command):
        return ["ip", "netns", "exec", self.router, *command]

    def lose(self, one, other, share):
        """Packets between two hosts are lost at random, in both directions."""
        for source, target in ((one, other), (other, one)):
            subprocess.run(self._in_router(
                "iptables", "-w", "-A", "FORWARD", "-s", self[source].address, "-d", self[target].address, "-m",
                "statistic", "--mode", "random", "--probability", f"{share:.4f}", "-j", "DROP"),
                check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def disturb(self, delay_ms, jitter_ms, loss, doubled, seed):
        """Every packet between hosts goes through a relay."""
        self.relay = subprocess.Popen(self._in_router(
            sys.executable, "-B", os.path.join(os.path.dirname(os.path.abspath(__file__)), "relay.py"), "relay",
            str(delay_ms), str(jitter_ms), str(loss), str(doubled), str(seed)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if self.relay.stdout.readline() != "ready\n":
            raise RuntimeError("the relay did not start")
        _ip("-n", self.router, "link", "set", "relay", "up")
        _ip("-n", self.router, "route", "add", "default", "dev", "relay", "table", "77")
        for letter in self.letters:
            rule = ["iif", self[letter].link, "lookup", "77"]
            _ip("-n", self.router, "rule", "add", *rule)
            self.rules.append(rule)

    def _end_relay(self):
        if self.relay is not None:
            self.relay.kill()
            self.relay.communicate()
            self.relay = None

    def heal(self):
        for rule in self.rules:
            _ip("-n", self.router, "rule", "del", *rule)
        self.rules = []
        if shutil.which("iptables"):
            subprocess.run(self._in_router("iptables", "-w", "-F", "FORWARD"), stdin=subprocess.DEVNULL,
                           capture_output=True)
        self._end_relay()
