"""A link with a delay: what goes into one of two tun devices comes out of the other so many seconds later.

Whole packets are delayed, so that a TCP handshake costs its round trip like on any long line.
Usage: link.py SECONDS NAME NAME. The devices live as long as this process, in whatever namespace they are moved to.
"""

import contextlib
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000


def tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


delay = float(sys.argv[1])
devices = [tun(name) for name in sys.argv[2:4]]
print("ready", flush=True)
# Of each device: what came in there, and when it is due at the other.
waiting = {device: deque() for device in devices}
while True:
    due = min((queue[0][0] for queue in waiting.values() if queue), default=None)
    patience = None if due is None else max(0, due - time.monotonic())
    for device in select.select(devices, [], [], patience)[0]:
        waiting[device].append((time.monotonic() + delay, os.read(device, 65536)))
    for device, other in zip(devices, reversed(devices)):
        while waiting[device] and waiting[device][0][0] <= time.monotonic():
            packet = waiting[device].popleft()[1]
            # A packet for a device that is not up yet is lost, as on any line.
            with contextlib.suppress(OSError):
                os.write(other, packet)
