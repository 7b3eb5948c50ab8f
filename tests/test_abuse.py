"""Bad input on both surfaces: a status and a message each, and the server lives."""
import json
import socket

import pytest

from harness import config, raw
from harness.scripted import Call

OPENAI, LEGACY = "/v1/chat/completions", "/chat"
MESSAGES = [{"role": "user", "content": "x"}]


@pytest.fixture(scope="module")
def miner(stage):
    return stage.miner(Call.echo)


@pytest.fixture(scope="module")
def server(serve, miner, tmp_path_factory):
    file = config.neurons(tmp_path_factory.mktemp("neurons") / "neurons.toml", [miner])
    return serve(config.base(
        subnet=[config.subnet(file, {"kind": "btauth"})],
        model=[{"id": "m", "subnet": "sn1", "price": "1"}]))


@pytest.fixture(scope="module")
def key(server):
    return server.create_key("--name", "abuser")[1]


@pytest.fixture(autouse=True)
def the_server_lives(server, key):
    yield
    assert server.alive()
    assert raw.chat(server.public, key, "still there", model="m").status == 200


def post(server, key, path, body):
    if isinstance(body, str):
        body = body.encode()
    return raw.request(server.public, "POST", path, raw.bearer(key), body)


def openai(**fields):
    return {"model": "m", "messages": MESSAGES, **fields}


def legacy(**fields):
    return {"messages": MESSAGES, **fields}


def nested(levels):
    return '{"model":"m","messages":[{"role":"user","content":"x"}],"x":' + "[" * levels + "]" * levels + "}"


# body, status, code, a word of the message
OPENAI_TABLE = {
    "no body": (b"", 400, "invalid_json", "empty"),
    "no JSON": ("hello", 400, "invalid_json", ""),
    "half a JSON": ('{"model":"m","messages":[', 400, "invalid_json", ""),
    "a list": ("[]", 400, "invalid_json", "object"),
    "a number": ("7", 400, "invalid_json", "object"),
    "text behind": (json.dumps(openai()) + "x", 400, "invalid_json", ""),
    "no UTF-8": (b'{"model":"m","messages":[{"role":"user","content":"\xff\xfe"}]}', 400, "invalid_json", "UTF-8"),
    "half a surrogate pair": ('{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}', 400, "invalid_json", ""),
    "NaN": ('{"model":"m","messages":[],"temperature":NaN}', 400, "invalid_json", ""),
    "a comma too many": ('{"model":"m",}', 400, "invalid_json", ""),
    "a control character": ('{"model":"m","messages":[{"role":"user","content":"\x01"}]}', 400, "invalid_json", ""),
    "nested too deep": (nested(100_000), 400, "invalid_json", "deep"),
    "nested just too deep": (nested(64), 400, "invalid_json", "deep"),
    "objects too deep": ('{"a":' * 5000 + "1" + "}" * 5000, 400, "invalid_json", "deep"),
    "duplicate member": ('{"model":"m","messages":[{"role":"user","content":"a"}],"model":"m"}', 400, "invalid_value", "twice"),
    "duplicate, escaped": ('{"model":"m","messages":[{"role":"user","content":"a"}],"mod\\u0065l":"m"}', 400, "invalid_value", "twice"),
    "duplicate in a message": ('{"model":"m","messages":[{"role":"user","role":"system","content":"a"}]}', 400, "invalid_value", "twice"),
    "no model": (legacy(), 400, "invalid_value", "model"),
    "model null": (openai(model=None), 400, "invalid_value", "model"),
    "model a number": (openai(model=7), 400, "invalid_value", "model"),
    "unknown model": (openai(model="nope"), 404, "model_not_found", "nope"),
    "long model": (openai(model="m" * 300), 400, "invalid_value", "model"),
    "no messages": ({"model": "m"}, 400, "invalid_value", "messages"),
    "messages null": (openai(messages=None), 400, "invalid_value", "messages"),
    "messages empty": (openai(messages=[]), 400, "invalid_value", "messages"),
    "messages text": (openai(messages="hello"), 400, "invalid_value", "messages"),
    "a message null": (openai(messages=[None]), 400, "invalid_value", "messages[0]"),
    "a message a list": (openai(messages=[[]]), 400, "invalid_value", "messages[0]"),
    "no role": (openai(messages=[{"content": "x"}]), 400, "invalid_value", "messages[0].role"),
    "an unknown role": (openai(messages=[{"role": "king", "content": "x"}]), 400, "invalid_value", "king"),
    "no content": (openai(messages=[{"role": "user"}]), 400, "invalid_value", "messages[0].content"),
    "content null": (openai(messages=[{"role": "user", "content": None}]), 400, "invalid_value", "content"),
    "content a number": (openai(messages=[{"role": "user", "content": 7}]), 400, "invalid_value", "content"),
    "content no parts": (openai(messages=[{"role": "user", "content": []}]), 400, "invalid_value", "content"),
    "too many messages": (openai(messages=MESSAGES * 1025), 400, "invalid_value", "1024"),
    "stream a text": (openai(stream="yes"), 400, "invalid_value", "stream"),
    "n zero": (openai(n=0), 400, "invalid_value", "n"),
    "n huge": (openai(n=10**9), 400, "invalid_value", "n"),
    "n a text": (openai(n="1"), 400, "invalid_value", "n"),
    "temperature a text": (openai(temperature="hot"), 400, "invalid_value", "temperature"),
    "stream options a list": (openai(stream_options=[]), 400, "invalid_value", "stream_options"),
    "uids empty": (openai(uids=[]), 400, "invalid_selection", "uids"),
    "uids unknown": (openai(uids=[12345]), 400, "invalid_selection", "12345"),
    "uids negative": (openai(uids=[-1]), 400, "invalid_selection", "-1"),
    "uids beyond": (openai(uids=[65536]), 400, "invalid_selection", "65536"),
    "uids twice": (openai(uids=[0, 0]), 400, "invalid_selection", "twice"),
    "uids a number": (openai(uids=0), 400, "invalid_value", "uids"),
    "uids of text": (openai(uids=["0"]), 400, "invalid_value", "uids"),
    "uids fractions": (openai(uids=[0.5]), 400, "invalid_value", "uids"),
    "uids too many": (openai(uids=list(range(257))), 400, "invalid_selection", "256"),
    "top_n zero": (openai(top_n=0), 400, "invalid_selection", "top_n"),
    "top_n negative": (openai(top_n=-1), 400, "invalid_selection", "top_n"),
    "top_n huge": (openai(top_n=10**12), 400, "invalid_selection", "top_n"),
    "top_n a text": (openai(top_n="many"), 400, "invalid_value", "top_n"),
    "in_parallel zero": (openai(uids=[0], in_parallel=0), 400, "invalid_selection", "in_parallel"),
    "first success a text": (openai(respond_on_first_success="yes"), 400, "invalid_value", "respond_on_first_success"),
    "unknown strategy": (openai(strategy="magic"), 400, "invalid_selection", "magic"),
    "strategies disagree": (openai(strategy="uids", top_n=1), 400, "invalid_selection", "top_n"),
}

# body, status, where (for 422) or the text
LEGACY_TABLE = {
    "no body": (b"", 422, []),
    "no JSON": ("hello", 422, None),
    "half a JSON": ('{"messages":[', 422, None),
    "a list": ("[]", 422, []),
    "nested too deep": (nested(100_000), 422, None),
    "duplicate member": ('{"messages":[],"messages":[]}', 422, ["messages"]),
    "no messages": ({}, 422, ["messages"]),
    "messages null": (legacy(messages=None), 422, ["messages"]),
    "messages empty": (legacy(messages=[]), 422, ["messages"]),
    "messages text": (legacy(messages="x"), 422, ["messages"]),
    "a message null": (legacy(messages=[None]), 422, ["messages", 0]),
    "no role": (legacy(messages=[{"content": "x"}]), 422, ["messages", 0, "role"]),
    "an unknown role": (legacy(messages=[{"role": "tool", "content": "x"}]), 422, ["messages", 0, "role"]),
    "content null": (legacy(messages=[{"role": "user", "content": None}]), 422, ["messages", 0, "content"]),
    "uids a text": (legacy(uids="x"), 422, ["uids"]),
    "uids of words": (legacy(uids=[0, "x"]), 422, ["uids", 1]),
    "top_n a list": (legacy(top_n=[]), 422, ["top_n"]),
    "in_parallel a word": (legacy(in_parallel="x"), 422, ["in_parallel"]),
    "first success a word": (legacy(respond_on_first_success="maybe"), 422, ["respond_on_first_success"]),
    "uids empty": (legacy(uids=[]), 400, "uids"),
    "uids unknown": (legacy(uids=[12345]), 400, "12345"),
    "uids negative": (legacy(uids=[-1]), 400, "-1"),
    "uids twice": (legacy(uids=[0, 0]), 400, "twice"),
    "uids too many": (legacy(uids=list(range(257))), 400, "256"),
    "top_n zero": (legacy(top_n=0), 400, "top_n"),
    "top_n negative": (legacy(top_n=-1), 400, "top_n"),
    "in_parallel zero": (legacy(uids=[0], in_parallel=0), 400, "in_parallel"),
    "in_parallel negative": (legacy(uids=[0], in_parallel=-3), 400, "in_parallel"),
}


def check_openai_error(response, status, code):
    assert response.status == status, response.body[:500]
    assert response.headers["content-type"].startswith("application/json")
    assert response.headers["x-request-id"]
    assert response.headers["x-should-retry"] in ("true", "false")
    error = response.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    assert error["code"] == code, error
    assert error["message"] and len(error["message"]) < 400
    return error


@pytest.mark.parametrize("case", OPENAI_TABLE)
def test_a_bad_body_on_the_openai_surface(server, key, miner, case):
    body, status, code, word = OPENAI_TABLE[case]
    asked = miner.count
    error = check_openai_error(post(server, key, OPENAI, body), status, code)
    assert word in error["message"] or word in (error["param"] or ""), error
    assert miner.count == asked


@pytest.mark.parametrize("case", LEGACY_TABLE)
def test_a_bad_body_on_the_legacy_surface(server, key, miner, case):
    body, status, expected = LEGACY_TABLE[case]
    asked = miner.count
    response = post(server, key, LEGACY, body)
    assert response.status == status, response.body[:500]
    assert response.headers["x-request-id"]
    detail = response.json()["detail"]
    if status == 422:
        assert detail and all(set(entry) == {"loc", "msg", "type"} for entry in detail)
        assert expected is None or detail[0]["loc"] == ["body", *expected], detail
    else:
        assert expected in detail
    assert miner.count == asked


@pytest.mark.parametrize("path", [OPENAI, LEGACY])
def test_nulls_are_as_absent(server, key, path):
    fields = dict.fromkeys(["uids", "top_n", "in_parallel", "respond_on_first_success", "strategy", "stream",
                            "temperature", "stream_options", "n", "tools"])
    assert post(server, key, path, openai(**fields)).status == 200


@pytest.mark.parametrize("path", [OPENAI, LEGACY])
@pytest.mark.parametrize("chunked", [False, True])
def test_ten_megabytes(server, key, path, chunked):
    """The client reads its 413, whether it told the length or not."""
    body = json.dumps(openai(messages=[{"role": "user", "content": "x" * (10 << 20)}])).encode()
    headers = {**raw.bearer(key), "content-type": "application/json"}
    if chunked:
        headers["transfer-encoding"] = "chunked"
        parts = [body[at:at + 65_536] for at in range(0, len(body), 65_536)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    response = raw.send(server.public, raw.head("POST", path, headers, len(body)) + body)
    assert response.status == 413
    assert response.json()["detail"] if path == LEGACY else check_openai_error(response, 413, "body_too_large")


def test_a_length_that_is_a_lie(server, key):
    """The body never comes whole: an answer or a closed connection, never a miner's work."""
    with raw.connect(server.public) as sock:
        sock.sendall(raw.head("POST", OPENAI, raw.bearer(key), 1000) + b'{"model"')
        sock.shutdown(socket.SHUT_WR)
        assert b" 200 " not in sock.recv(65_536)


@pytest.mark.parametrize("path", [OPENAI, "/v1/models"])
def test_a_huge_header(server, key, path):
    headers = {**raw.bearer(key), "x-huge": "x" * (70 << 10)}
    response = raw.request(server.public, "GET", path, headers)
    assert response.status == 431
    assert response.json()["error"]["code"] == "head_too_large"


def test_very_many_headers(server, key):
    headers = {**raw.bearer(key), **{f"x-{n}": "x" * 200 for n in range(400)}}
    assert raw.request(server.public, "GET", "/v1/models", headers).status in (400, 431)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nope", "/v1/chat", "/v2/chat/completions", "//chat", "/chat/../admin",
                                  "/metrics", "/v1/chat/completions/x", "/%2e%2e/", "/chat%00"])
def test_an_unknown_route(server, key, path):
    response = raw.request(server.public, "GET", path, raw.bearer(key))
    assert response.status == 404, response.body
    assert response.json()["error"]["code"] == "unknown_url"


@pytest.mark.parametrize(("method", "path", "allowed"), [
    ("GET", OPENAI, "POST"), ("PUT", OPENAI, "POST"), ("DELETE", LEGACY, "POST"), ("GET", LEGACY, "POST"),
    ("POST", "/v1/models", "GET"), ("DELETE", "/v1/models/m", "GET"), ("BREW", OPENAI, "POST")])
def test_a_wrong_method(server, key, method, path, allowed):
    response = raw.request(server.public, method, path, raw.bearer(key))
    assert response.status == 405, response.body
    assert allowed in response.headers["allow"]
    body = response.json()
    assert body["detail"] if path == LEGACY else body["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(("authorization", "code", "detail"), [
    (None, "missing_api_key", "Not authenticated"),
    ("", "missing_api_key", "Not authenticated"),
    ("Bearer", "missing_api_key", "Not authenticated"),
    ("Bearer ", "missing_api_key", "Not authenticated"),
    ("Basic dXNlcjpwYXNz", "wrong_auth_scheme", "Invalid authentication credentials"),
    ("Bearer x", "invalid_api_key", "Invalid API key"),
    ("Bearer " + "x" * 10_000, "invalid_api_key", "Invalid API key"),
    ("Bearer btvep_aaaaaaaaaaaa_bbbbbbbbbbbbbbbb", "invalid_api_key", "Invalid API key")])
def test_who_may_not(server, authorization, code, detail):
    headers = {} if authorization is None else {"authorization": authorization}
    check_openai_error(raw.request(server.public, "POST", OPENAI, headers, openai()), 401, code)
    response = raw.request(server.public, "POST", LEGACY, headers, legacy())
    assert response.status == (401 if code == "invalid_api_key" else 403)
    assert response.json() == {"detail": detail}


def test_a_stranger_learns_nothing_of_his_body(server):
    """A bad body of a stranger is a stranger's."""
    check_openai_error(raw.request(server.public, "POST", OPENAI, {}, b"{"), 401, "missing_api_key")


def test_disabled_and_expired_keys(server):
    disabled, key = server.create_key("--name", "disabled")
    server.cli("key", "edit", disabled, "--disable")
    check_openai_error(post(server, key, OPENAI, openai()), 401, "api_key_disabled")
    assert post(server, key, LEGACY, legacy()).json() == {"detail": "API key is disabled"}
    expired, key = server.create_key("--name", "expired")
    server.cli("key", "edit", expired, "--valid-until", "2001-02-03")
    check_openai_error(post(server, key, OPENAI, openai()), 401, "api_key_expired")
    detail = post(server, key, LEGACY, legacy()).json()["detail"]
    assert detail.startswith("API key has expired as of 2001-02-0")


@pytest.mark.parametrize("bytes_", [b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n",
                                    b"GET / HTTP/9.9\r\n\r\n", b"POST /chat HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
                                    b"\x00" * 1000])
def test_what_is_no_http(server, bytes_):
    """Pingora's own bare answer, or a closed connection; never a hang."""
    with raw.connect(server.public, 10) as sock:
        sock.sendall(bytes_)
        sock.shutdown(socket.SHUT_WR)
        answer = sock.recv(65_536)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_two_lengths(server, key):
    head = raw.head("POST", OPENAI, {**raw.bearer(key), "content-length": "5"}, 7)
    with raw.connect(server.public, 10) as sock:
        sock.sendall(head + b"1234567")
        answer = sock.recv(65_536)
    assert answer == b"" or b" 200 " not in answer.split(b"\r\n")[0]


def test_length_and_chunks(server, key):
    """The classic of request smuggling: never two requests out of one."""
    data = json.dumps(openai()).encode()
    head = raw.head("POST", OPENAI, {**raw.bearer(key), "content-length": "4", "transfer-encoding": "chunked"})
    with raw.connect(server.public, 10) as sock:
        sock.sendall(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
        response = raw.receive(sock)
    assert response.status in (200, 400)


def test_two_requests_in_one_segment(server, key):
    body = json.dumps(openai()).encode()
    one = raw.head("POST", OPENAI, {**raw.bearer(key), "content-type": "application/json"}, len(body)) + body
    with raw.connect(server.public) as sock:
        sock.sendall(one + one)
        assert [raw.receive(sock).status for _ in range(2)] == [200, 200]
