"""Many requests at the same moment."""
import asyncio
import collections
import contextlib
import json
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Result:
    status: int
    headers: dict
    body: bytes
    sent: float
    received: float
    index: int = field(default=0)

    def json(self):
        return json.loads(self.body)


async def _prepare(address, key, path, body, extra):
    """Opens a connection and sends all but the last byte of a request."""
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    data = json.dumps(body, ensure_ascii=False).encode()
    lines = [f"POST {path} HTTP/1.1", "host: test", f"authorization: Bearer {key}", "connection: close",
             "content-type: application/json", f"content-length: {len(data)}", *extra]
    data = "\r\n".join(lines).encode() + b"\r\n\r\n" + data
    writer.write(data[:-1])
    await writer.drain()
    return reader, writer, data[-1:]


async def _finish(reader, writer, last, index):
    sent = time.monotonic()
    writer.write(last)
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await (reader.readexactly(int(headers["content-length"])) if "content-length" in headers
                      else reader.read())
        return Result(int(head[0].split()[1]), headers, body, sent, time.monotonic(), index)
    finally:
        writer.close()


async def _barrier(address, key, bodies, path, extra, seconds):
    prepared = await asyncio.gather(*(_prepare(address, key, path, body, extra) for body in bodies))
    finishing = (_finish(*one, index) for index, one in enumerate(prepared))
    return await asyncio.wait_for(asyncio.gather(*finishing, return_exceptions=True), seconds)


def at_once(address, key, bodies, path="/v1/chat/completions", headers=(), seconds=60.0):
    """Holds every request back by its last byte, then releases all; returns results (or exceptions) in order."""
    return asyncio.run(_barrier(address, key, bodies, path, headers, seconds))


async def _pooled(address, key, bodies, path, width, extra, seconds):
    results = [None] * len(bodies)
    jobs = iter(enumerate(bodies))

    async def worker():
        for index, body in jobs:
            results[index] = await _finish(*await _prepare(address, key, path, body, extra), index)

    await asyncio.wait_for(asyncio.gather(*(worker() for _ in range(width))), seconds)
    return results


def pooled(address, key, bodies, width, path="/v1/chat/completions", headers=(), seconds=120.0):
    """Sends all, `width` in flight at any time; returns results in order."""
    return asyncio.run(_pooled(address, key, bodies, path, width, headers, seconds))


class Hammer:
    """Asks without a pause over so many connections, as `with` lasts; minds no Retry-After. Counts statuses."""

    def __init__(self, address, key, body, width):
        self.address, self.key, self.body, self.width = address, key, body, width
        self.statuses = collections.Counter()
        self.loop = asyncio.new_event_loop()

    def __enter__(self):
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.all.cancel)
        self.thread.join(20)
        assert not self.thread.is_alive()

    def _run(self):
        async def gathered():
            await asyncio.gather(*(self._ask() for _ in range(self.width)))
        self.all = self.loop.create_task(gathered())
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(self.all)
        self.loop.close()

    async def _ask(self):
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(*self.address.rsplit(":", 1))
                try:
                    await self._converse(reader, writer)
                finally:
                    writer.close()

    async def _converse(self, reader, writer):
        data = json.dumps(self.body).encode()
        head = (f"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {self.key}\r\n"
                f"content-length: {len(data)}\r\n\r\n")
        while True:
            writer.write(head.encode() + data)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            length = next(line for line in answer if line.startswith("content-length:"))
            await reader.readexactly(int(length.split(":")[1]))
            self.statuses[int(answer[0].split()[1])] += 1
