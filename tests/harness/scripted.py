"""Miners that do what the test says, when it says so: plain OpenAI over HTTP/1.1, no SDK.

They run on an event loop in a thread of the test's own process, so that a test can hold one back, see that its
socket was closed, or make every third call fail.
"""
import asyncio
import hashlib
import json
import queue
import threading
import time

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def ss58(public):
    """An address of the generic network, 42."""
    data = bytes([42]) + public
    data += hashlib.blake2b(b"SS58PRE" + data).digest()[:2]
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return text


class _Protocol(asyncio.StreamReaderProtocol):
    """Tells at once that the peer has gone, also while nobody reads."""

    def __init__(self, reader, serve, loop):
        super().__init__(reader, serve, loop=loop)
        reader.gone = asyncio.Event()
        self._reader = reader

    def eof_received(self):
        self._reader.gone.set()
        return super().eof_received()

    def connection_lost(self, error):
        self._reader.gone.set()
        super().connection_lost(error)


class Call:
    """One prompt that reached the miner."""

    def __init__(self, miner, headers, body, reader, writer, number):
        self.miner, self.headers, self.raw, self.number = miner, headers, body, number
        self.body = json.loads(body)
        self.gone = reader.gone
        self.gone_at = None
        self._writer = writer
        self._tokens = asyncio.Queue()

    @property
    def prompt(self):
        return self.body["messages"][-1]["content"]

    # What the test's thread says.

    def tell(self, token):
        """Lets the miner send this token; None ends the stream in order, `BREAK` cuts it."""
        self.miner.loop.call_soon_threadsafe(self._tokens.put_nowait, token)

    def wait_gone(self, seconds=10.0):
        """Returns when the miner has seen its socket closing."""
        asyncio.run_coroutine_threadsafe(self.gone.wait(), self.miner.loop).result(seconds)

    # What the miner does.

    async def json(self, status, value, **headers):
        body = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
        lines = [f"HTTP/1.1 {status} Whatever", "content-type: application/json", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await self._writer.drain()

    async def answer(self, text, **more):
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        await self.json(200, {"id": "cmpl", "object": "chat.completion", "created": 1, "model": "m",
                              "choices": [choice], **more})

    async def echo(self):
        """What an honest miner does: the prompt back, streamed word by word if asked to."""
        text = f"echo:{self.prompt}"
        if not self.body.get("stream"):
            return await self.answer(text)
        await self.begin()
        for n, word in enumerate(text.split(" ")):
            await self.token((" " if n else "") + word)
        await self.end()

    async def begin(self):
        self._writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        await self._event({"role": "assistant", "content": ""})

    async def token(self, text):
        await self._event({"content": text})

    async def end(self):
        await self._event({}, "stop")
        self._chunk(b"data: [DONE]\n\n")
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def cut(self):
        """Closes the socket in the middle of things."""
        self._writer.transport.abort()

    async def _event(self, delta, finish=None):
        chunk = {"id": "cmpl", "object": "chat.completion.chunk", "created": 1, "model": "m",
                 "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        self._chunk(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode())
        await self._writer.drain()

    def _chunk(self, data):
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def stream_as_told(self):
        """Sends each token when the test says so."""
        await self.begin()
        while True:
            token = await self._next_token()
            if token is None:
                return await self.end()
            if token is BREAK:
                return self.cut()
            await self.token(token)

    async def _next_token(self):
        """The test's next word, or the end of waiting because the peer has gone."""
        told, gone = asyncio.ensure_future(self._tokens.get()), asyncio.ensure_future(self.gone.wait())
        await asyncio.wait({told, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if told.done():
            return told.result()
        told.cancel()
        return BREAK


BREAK = object()


class Miner:
    """One port. `script` is an async function of a `Call`; it may be replaced between requests."""

    def __init__(self, loop, script, index):
        self.loop, self.script, self.index = loop, script, index
        self.hotkey = ss58(hashlib.sha256(f"scripted miner {index}".encode()).digest())
        self.calls = queue.Queue()
        self.count = 0
        self.port = None

    async def listen(self):
        def protocol():
            return _Protocol(asyncio.StreamReader(loop=self.loop, limit=1 << 24), self._serve, self.loop)
        self.server = await self.loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def next_call(self, seconds=10.0):
        """The next prompt that reached this miner, for a test that wants to command it."""
        return self.calls.get(timeout=seconds)

    async def _serve(self, reader, writer):
        try:
            while request := await _read(reader):
                self.count += 1
                call = Call(self, *request, reader, writer, self.count)
                self.calls.put(call)
                await self.script(call)
                if writer.transport.is_closing():
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _read(reader):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    headers = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers, await reader.readexactly(int(headers.get("content-length", 0)))


class Stage:
    """Any number of scripted miners on one loop."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.miners = []

    def miner(self, script=Call.echo):
        miner = Miner(self.loop, script, len(self.miners))
        asyncio.run_coroutine_threadsafe(miner.listen(), self.loop).result(10)
        self.miners.append(miner)
        return miner

    def close(self):
        async def shut():
            for miner in self.miners:
                miner.server.close()
            serving = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
        asyncio.run_coroutine_threadsafe(shut(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)


# Scripts that tests share.

async def stream_as_told(call):
    await call.stream_as_told()


async def fail(call):
    await call.json(500, {"error": {"message": "scripted failure"}})


async def empty(call):
    if not call.body.get("stream"):
        return await call.answer("")
    await call.begin()
    await call.end()


async def hang(call):
    await call.gone.wait()
    call.gone_at = time.monotonic()


def after(seconds, then=Call.echo):
    """Takes its time, as miners do; noticed at once when the peer leaves."""
    async def script(call):
        try:
            await asyncio.wait_for(call.gone.wait(), seconds)
        except asyncio.TimeoutError:
            await then(call)
    return script


def failing(percent, then=Call.echo):
    """Fails so many of a hundred calls, spread evenly and always the same ones."""
    async def script(call):
        if call.number * percent // 100 != (call.number - 1) * percent // 100:
            return await fail(call)
        await then(call)
    return script


class Gate:
    """Holds prompts back until the test opens it, or their client leaves; then they are echoed."""

    def __init__(self, stage):
        self.loop, self.opened = stage.loop, asyncio.Event()

    def open(self):
        self.loop.call_soon_threadsafe(self.opened.set)

    def close(self):
        self.loop.call_soon_threadsafe(self.opened.clear)

    async def script(self, call):
        waiting = [asyncio.ensure_future(event.wait()) for event in (self.opened, call.gone)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        if not call.gone.is_set():
            await call.echo()
