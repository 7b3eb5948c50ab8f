"""A rule of `times` per `seconds` admits at most `times` in any window of `seconds`, each rule for itself."""
import threading
import time

import pytest

from harness import config, raw
from harness.load import at_once
from harness.scripted import Call, stream_as_told


@pytest.fixture(scope="module")
def server(serve, stage):
    return serve(config.with_upstream(stage.miner(Call.echo).url))


def limited(server, *rules):
    key_id, key = server.create_key("--name", "limited")
    for times, seconds in rules:
        server.run("ratelimit", "add", times, seconds, "--key", key_id)
    return key_id, key


def hammer(server, key, seconds, threads=4):
    """Asks without a pause; returns when each success was sent and received."""
    admitted, end = [], time.monotonic() + seconds

    def ask():
        while time.monotonic() < end:
            sent = time.monotonic()
            if raw.chat(server.public, key, model="m").status == 200:
                admitted.append((sent, time.monotonic()))

    workers = [threading.Thread(target=ask) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(admitted)


def check_windows(admitted, times, seconds):
    """Whatever the moments of admission were, between sending and receiving: no window held more than `times`."""
    for first in range(len(admitted) - times):
        group = admitted[first:first + times + 1]
        assert max(received for _, received in group) - min(sent for sent, _ in group) >= seconds, group


def test_any_window_of_two_rules(server):
    rules = [(3, 1), (7, 3)]
    _, key = limited(server, *rules)
    admitted = hammer(server, key, 6.5)
    for times, seconds in rules:
        check_windows(admitted, times, seconds)
    # Two whole windows of the longer rule were used up, and a third was begun.
    assert 14 < len(admitted) <= 21


def test_a_burst_is_cut_at_the_rule(server):
    _, key = limited(server, (5, 3600))
    bodies = [{"model": "m", "messages": [{"role": "user", "content": "x"}]}] * 50
    results = at_once(server.public, key, bodies)
    assert sorted(result.status for result in results) == [200] * 5 + [429] * 45
    refused = next(result for result in results if result.status == 429)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["x-ratelimit-limit-requests"] == "5"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert 3500 < int(refused.headers["retry-after"]) <= 3601


def test_holding_a_body_back_gains_nothing(server):
    """A request counts from when it is whole: its head may be much older."""
    _, key = limited(server, (2, 2))
    _, other = server.create_key("--name", "passes the time")
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
    headers = {**raw.bearer(key), "content-type": "application/json"}
    with raw.connect(server.public) as first, raw.connect(server.public) as second:
        for sock in (first, second):
            sock.sendall(raw.head("POST", "/v1/chat/completions", headers, len(body)) + body[:-1])
        hammer(server, other, 1.9, threads=1)
        admitted = []
        for sock in (first, second):
            sent = time.monotonic()
            sock.sendall(body[-1:])
            assert raw.receive(sock).status == 200
            admitted.append((sent, time.monotonic()))
    admitted += hammer(server, key, 2.5)
    assert len(admitted) == 4
    check_windows(sorted(admitted), 2, 2)


def test_a_refusal_takes_from_no_rule(server):
    """The short rule refuses much; the long one must not have counted that."""
    _, key = limited(server, (1, 1), (3, 3600))
    admitted = hammer(server, key, 4.0, threads=2)
    assert len(admitted) == 3


def test_keys_are_counted_alone(server):
    keys = [limited(server, (1, 3600))[1] for _ in range(2)]
    assert [raw.chat(server.public, key, model="m").status for key in keys] == [200, 200]
    assert [raw.chat(server.public, key, model="m").status for key in keys] == [429, 429]


def test_changing_a_limit_grants_no_burst(server):
    key_id, key = limited(server, (2, 3600))
    assert [raw.chat(server.public, key, model="m").status for _ in range(3)] == [200, 200, 429]
    server.run("ratelimit", "add", 3, 3600, "--key", key_id)
    server.run("ratelimit", "delete", 0, "--key", key_id)
    statuses = [raw.chat(server.public, key, model="m").status for _ in range(4)]
    assert statuses == [200, 429, 429, 429]


def test_the_legacy_surface_says_it_in_its_own_words(server):
    _, key = limited(server, (1, 3600))
    raw.chat(server.public, key, path="/chat")
    response = raw.chat(server.public, key, path="/chat")
    assert (response.status, response.json()) == (429, {"detail": "Too Many Requests"})
    assert int(response.headers["retry-after"]) > 0


def test_defaults_concurrency_and_attempts(serve, stage):
    miner = stage.miner(stream_as_told)
    server = serve(config.with_upstream(
        miner.url, filters={"rate_limit": {"default": [{"times": 4, "seconds": 3600}], "concurrency": 2}}))
    key = server.create_key("--name", "default")[1]
    streams = [raw.EventStream(server.public, key, model="m") for _ in range(2)]
    calls = [miner.next_call() for _ in streams]
    refused = raw.chat(server.public, key, model="m")
    assert (refused.status, refused.json()["error"]["code"]) == (429, "concurrency_limit_exceeded")
    for call in calls:
        call.tell("x")
        call.tell(None)
    assert [stream.events()[-1] for stream in streams] == ["[DONE]", "[DONE]"]
    miner.script = Call.echo
    statuses = [raw.chat(server.public, key, model="m").status for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_failures_count_as_attempts(serve, stage):
    async def fail(call):
        await call.json(500, {})
    server = serve(config.with_upstream(
        stage.miner(fail).url, filters={"rate_limit": {"attempts": {"times": 3, "seconds": 3600}}}))
    key = server.create_key("--name", "attempts")[1]
    statuses = [raw.chat(server.public, key, model="m").status for _ in range(5)]
    assert statuses == [502, 502, 502, 429, 429]
