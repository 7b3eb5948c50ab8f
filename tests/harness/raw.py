"""HTTP without the manners of a client library: exact bytes out, status, headers and body back."""
import http.client
import json
import socket
from dataclasses import dataclass


@dataclass
class Response:
    status: int
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)


def connect(address, seconds=20.0):
    host, port = address.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), timeout=seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def head(method, path, headers, length=None):
    lines = [f"{method} {path} HTTP/1.1", "host: test"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if length is not None and "transfer-encoding" not in headers:
        lines.append(f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def receive(sock, method="POST"):
    """Reads one response; `http.client` decodes chunks."""
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Response(response.status, headers, response.read())


def send(address, data, method="POST", seconds=20.0):
    """Sends bytes as they are and reads one response, also when the server closed before it had read all."""
    with connect(address, seconds) as sock:
        try:
            sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return receive(sock, method)


def request(address, method, path, headers=None, body=b"", seconds=20.0):
    """One request on a connection of its own. A `dict` is sent as JSON."""
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    if isinstance(body, str):
        body = body.encode()
    if body and "content-type" not in headers:
        headers["content-type"] = "application/json"
    length = len(body) if body or method == "POST" else None
    return send(address, head(method, path, headers, length) + body, method, seconds)


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def chat(address, key, text="hello", path="/v1/chat/completions", seconds=30.0, headers=None, **fields):
    """One prompt. On the OpenAI surface a model is needed: pass `model=`."""
    body = {"messages": [{"role": "user", "content": text}], **fields}
    return request(address, "POST", path, {**bearer(key), **(headers or {})}, body, seconds)


class EventStream:
    """A streamed answer, one event at a time, as the socket gives them."""

    def __init__(self, address, key, text="hello", seconds=20.0, **fields):
        body = json.dumps({"messages": [{"role": "user", "content": text}], "stream": True, **fields}).encode()
        self.sock = connect(address, seconds)
        headers = {**bearer(key), "content-type": "application/json"}
        self.sock.sendall(head("POST", "/v1/chat/completions", headers, len(body)) + body)
        self.response = http.client.HTTPResponse(self.sock, method="POST")
        self.begun = False

    def begin(self):
        self.response.begin()
        self.begun = True
        self.status = self.response.status
        self.headers = {name.lower(): value for name, value in self.response.getheaders()}
        return self

    def __iter__(self):
        """Yields the data of each event; `[DONE]` as text, all else as JSON."""
        if not self.begun:
            self.begin()
        while line := self.response.readline():
            if line.startswith(b"data:"):
                data = line[5:].strip().decode()
                yield data if data == "[DONE]" else json.loads(data)

    def events(self):
        return list(self)

    def close(self):
        """Leaves, as a client does that has gone."""
        self.response.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def text_of(events):
    """The text of all content deltas."""
    return "".join(
        choice["delta"].get("content") or ""
        for event in events
        if isinstance(event, dict)
        for choice in event.get("choices", [])
    )
