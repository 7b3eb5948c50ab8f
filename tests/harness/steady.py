"""A steady load on kept connections, answers whole and streamed in turn."""
import asyncio
import json
import threading

STREAMED = 4
"""One in so many asks for a stream."""


class Steady:
    """Asks without a pause from `width` connections, as a context; what came back stands in the fields."""

    def __init__(self, address, key, width, model="m"):
        self.address = address.rsplit(":", 1)
        self.width, self.stopping = width, False
        self.answered, self.streamed, self.failed, self.hashes = 0, 0, [], set()
        self.whole, self.stream = (self._request(key, model, stream) for stream in (False, True))
        self.thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)

    @staticmethod
    def _request(key, model, stream):
        body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
        return (f"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {key}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}").encode()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join(60)
        assert not self.thread.is_alive(), "a request was never answered"

    async def _all(self):
        await asyncio.gather(*(self._worker() for _ in range(self.width)))

    async def _worker(self):
        number, connection = 0, None
        while not self.stopping:
            number += 1
            is_stream = number % STREAMED == 0
            try:
                connection = connection or await asyncio.open_connection(*self.address)
                await asyncio.wait_for(self._ask(*connection, is_stream), 60)
            except (OSError, EOFError, ValueError, AssertionError, asyncio.TimeoutError) as error:
                self.failed.append(repr(error))
                connection = None
        if connection:
            connection[1].close()

    async def _ask(self, reader, writer, is_stream):
        writer.write(self.stream if is_stream else self.whole)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = dict(line.split(": ", 1) for line in head.lower().split("\r\n")[1:-2])
        if is_stream and "chunked" in headers.get("transfer-encoding", ""):
            body = await reader.readuntil(b"\r\n0\r\n\r\n")
            is_whole = b"data: [DONE]" in body and b'"error"' not in body
        else:
            body = await reader.readexactly(int(headers["content-length"]))
            is_whole = not is_stream and b"echo:hello" in body
        assert head.startswith("HTTP/1.1 200") and is_whole, (head, body)
        self.hashes.add(headers["x-btvep-config"])
        self.answered += 1
        self.streamed += is_stream
