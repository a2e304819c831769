# SPDX-License-Identifier: Apache-2.0
"""A slow and unruly piece of network: reads packets from a TUN device and writes them back later, each after a delay of
its own, so that they overtake each other; drops some and doubles some. Run in the namespace of a router, which sends
what is to be disturbed through the device (hosts.py):

    relay.py DEVICE DELAY_MS JITTER_MS LOSS DOUBLED SEED
"""
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKET_BYTES_MAX = 65536
WAITING_MAX = 20000


def open_device(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def write(device, packet):
    try:
        os.write(device, packet)
    except OSError:
        pass  # lost, as packets are


def relay(device, delay_s, jitter_s, loss, doubled, draw):
    waiting = []  # (when, number, packet)
    number = 0
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            write(device, heapq.heappop(waiting)[2])
        select.select([device], [], [], max(0.0, waiting[0][0] - now) if waiting else None)
        for _ in range(64):
            try:
                packet = os.read(device, PACKET_BYTES_MAX)
            except BlockingIOError:
                break
            if draw.random() < loss or len(waiting) >= WAITING_MAX:
                continue
            for _ in range(2 if draw.random() < doubled else 1):
                number += 1
                when = time.monotonic() + delay_s + draw.uniform(0, jitter_s)
                heapq.heappush(waiting, (when, number, packet))


def main():
    device = open_device(sys.argv[1])
    delay_ms, jitter_ms, loss, doubled = map(float, sys.argv[2:6])
    print("ready", flush=True)
    relay(device, delay_ms / 1000, jitter_ms / 1000, loss, doubled, random.Random(sys.argv[6]))


if __name__ == "__main__":
    main()
