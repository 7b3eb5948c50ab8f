"""Streams pass through as they come, and end when the client leaves."""
import http.client

import pytest

from harness import config, raw, scripted


@pytest.fixture(scope="module")
def miner(stage):
    return stage.miner(scripted.stream_as_told)


@pytest.fixture(scope="module")
def server(serve, miner):
    return serve(config.with_upstream(miner.url))


@pytest.fixture(scope="module")
def key(server):
    return server.create_key("--name", "streams")[1]


def content(event):
    return "".join(choice["delta"].get("content") or "" for choice in event["choices"])


def next_content(events):
    """The next event that carries text."""
    return next(text for text in map(content, events) if text)


def test_token_k_plus_1_leaves_the_miner_only_when_the_client_has_token_k(server, key, miner):
    with raw.EventStream(server.public, key, model="m") as stream:
        call = miner.next_call()
        tokens = [f"token{n} " for n in range(20)]
        call.tell(tokens[0])
        events = iter(stream)
        for received, following in zip(tokens, [*tokens[1:], None], strict=True):
            # A proxy that waits for more before it passes this one on stops here for ever.
            assert next_content(events) == received
            call.tell(following)
        rest = list(events)
    assert rest[-1] == "[DONE]"


def test_leaving_closes_the_socket_to_the_miner(server, key, miner):
    stream = raw.EventStream(server.public, key, model="m")
    call = miner.next_call()
    call.tell("one ")
    assert next_content(iter(stream)) == "one "
    assert not call.gone.is_set()
    stream.close()
    call.wait_gone()


def test_leaving_before_the_first_token_closes_it_too(server, key, miner):
    stream = raw.EventStream(server.public, key, model="m")
    call = miner.next_call()
    stream.close()
    call.wait_gone()


def test_leaving_a_whole_answer_closes_it_too(server, key, miner):
    sock = raw.connect(server.public)
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
    headers = {**raw.bearer(key), "content-type": "application/json"}
    sock.sendall(raw.head("POST", "/v1/chat/completions", headers, len(body)) + body)
    call = miner.next_call()
    sock.close()
    call.wait_gone()


def test_a_stream_has_what_clients_depend_on(server, key, miner):
    with raw.EventStream(server.public, key, model="m", stream_options={"include_usage": True}) as stream:
        call = miner.next_call()
        for token in ("one ", "two", None):
            call.tell(token)
        events = stream.events()
    assert stream.status == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-cache"
    assert stream.headers["x-accel-buffering"] == "no"
    assert stream.headers["x-request-id"]
    chunks = events[:-1]
    assert events[-1] == "[DONE]"
    assert {(chunk["id"], chunk["created"], chunk["object"]) for chunk in chunks} == {
        (chunks[0]["id"], chunks[0]["created"], "chat.completion.chunk")}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert raw.text_of(chunks) == "one two"
    assert chunks[-1]["validator"]["request_id"] == stream.headers["x-request-id"]


def test_a_stream_that_breaks_ends_with_an_error_event(server, key, miner):
    with raw.EventStream(server.public, key, model="m") as stream:
        call = miner.next_call()
        call.tell("one ")
        call.tell(scripted.BREAK)
        events = stream.events()
    assert raw.text_of(events) == "one "
    assert events[-1] == "[DONE]"
    assert set(events[-2]["error"]) >= {"message", "type", "param", "code"}


def test_a_stream_that_does_not_begin_is_a_plain_error(server, key, miner):
    with raw.EventStream(server.public, key, model="m") as stream:
        miner.next_call().tell(scripted.BREAK)
        stream.begin()
        assert stream.status == 502
        assert stream.headers["content-type"].startswith("application/json")


def test_two_streams_on_one_connection(server, key, miner):
    """A stream that ends in order leaves the connection usable."""
    host, port = server.public.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}'
    for _ in range(2):
        connection.request("POST", "/v1/chat/completions", body, {**raw.bearer(key), "content-type": "application/json"})
        call = miner.next_call()
        call.tell("one")
        call.tell(None)
        response = connection.getresponse()
        assert response.status == 200
        assert response.read().endswith(b"data: [DONE]\n\n")
    connection.close()


def test_a_row_tells_how_a_stream_ended(server, key, miner):
    with raw.EventStream(server.public, key, model="m") as stream:
        call = miner.next_call()
        call.tell("one")
        call.tell(None)
        stream.events()
    row = server.row(stream.headers["x-request-id"])
    assert (row["outcome"], row["stream"], row["is_success"]) == ("streamed", True, True)
    assert row["first_token_us"] > 0
