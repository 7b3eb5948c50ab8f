"""Ports nobody listens on."""
import random
import socket
from contextlib import ExitStack


def free_block(count):
    """Returns the first of `count` consecutive free ports; the launchers count up from a base.

    Below the range that the kernel gives to connections, so that none of ours takes one meanwhile.
    """
    for _ in range(200):
        base = random.randrange(12_000, 30_000)
        with ExitStack() as held:
            try:
                for port in range(base, base + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise AssertionError(f"no {count} consecutive free ports")
