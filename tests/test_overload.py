"""More than the server takes: refused at once, free, fair among keys, and bounded in memory."""
import contextlib
import queue
import re
import select
import time

import pytest

from harness import config, load, raw, scripted
from harness.deadline import until

MIB = 1 << 20
# The rate limits must not be what refuses.
UNLIMITED = {"rate_limit": {"default": [], "concurrency": 1000, "attempts": {"times": 1_000_000, "seconds": 60}}}
REQUESTS = 10
# Of ten places a key that is alone gets eight, and strangers get one.
ALONE = 8


@pytest.fixture(scope="module")
def gate(stage):
    return scripted.Gate(stage)


@pytest.fixture(scope="module")
def miner(stage, gate):
    return stage.miner(gate.script)


@pytest.fixture(scope="module")
def server(serve, miner):
    return serve(config.with_upstream(
        miner.url, filters=UNLIMITED, limits={"body_bytes": MIB},
        overload={"requests": REQUESTS, "bytes": 16 * MIB}))


@pytest.fixture(autouse=True)
def nothing_stays(server, miner, gate):
    gate.close()
    with contextlib.suppress(queue.Empty):
        while True:
            miner.calls.get_nowait()
    yield
    gate.open()
    until(lambda: metric(server, "btvep_requests_in_flight") == 0, "the end of all requests")
    until(lambda: metric(server, "btvep_bytes_in_flight") == 0, "all memory back")


def metric(server, name):
    found = re.search(rf"^{re.escape(name)} (\S+)$", server.metrics(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def resident(server):
    with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as status:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status.read(), re.MULTILINE).group(1)) * 1024


def hold(server, miner, key, count):
    """Sends prompts that the miner holds back; returns their sockets."""
    body = b'{"model": "m", "messages": [{"role": "user", "content": "held"}]}'
    sockets = []
    for _ in range(count):
        sockets.append(raw.connect(server.public))
        sockets[-1].sendall(raw.head("POST", "/v1/chat/completions", raw.bearer(key), len(body)) + body)
        miner.next_call()
    return sockets


def unfinished(server, key, length):
    """Sends a head that promises a body, and one byte of it."""
    sock = raw.connect(server.public)
    sock.sendall(raw.head("POST", "/v1/chat/completions", raw.bearer(key), length) + b"{")
    return sock


def answered(sockets, count):
    """Waits until so many have an answer, and returns them."""
    def ready():
        found = select.select(sockets, [], [], 0)[0]
        return found if len(found) >= count else None
    found = until(ready, f"{count} answers")
    assert len(found) == count
    return found


def assert_shed(answer):
    assert answer.status == 503, answer.body
    assert answer.json()["error"]["code"] == "overloaded"
    assert answer.headers["x-should-retry"] == "true"
    assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_one_more_than_fits_is_refused_at_once_and_costs_nothing(server, miner, gate):
    key_id, key = server.create_key("--credits", "100")
    held = hold(server, miner, key, ALONE)
    asked, shed = miner.count, metric(server, 'btvep_shed_total{reason="key_share"}')
    refused = raw.chat(server.public, key, model="m")
    assert_shed(refused)
    assert miner.count == asked
    assert metric(server, 'btvep_shed_total{reason="key_share"}') == shed + 1
    gate.open()
    assert [raw.receive(sock).status for sock in held] == [200] * ALONE
    assert float(server.settled(key_id)["credits"]) == 100 - ALONE
    last = raw.chat(server.public, key, model="m")
    assert last.status == 200
    server.row(last.headers["x-request-id"])
    assert refused.headers["x-request-id"] not in {row["request_id"] for row in server.logs("--lines", 1000)}


def test_all_places_taken_is_told_to_everybody(server, miner):
    held = hold(server, miner, server.create_key()[1], ALONE)
    held += hold(server, miner, server.create_key()[1], 1) + hold(server, miner, server.create_key()[1], 1)
    shed = metric(server, 'btvep_shed_total{reason="requests"}')
    assert_shed(raw.chat(server.public, server.create_key()[1], model="m"))
    assert metric(server, 'btvep_shed_total{reason="requests"}') == shed + 1
    for sock in held:
        sock.close()


def test_strangers_with_slow_bodies_take_one_place_and_no_rows(server, gate):
    gate.open()
    key = server.create_key()[1]
    server.row(raw.chat(server.public, key, model="m").headers["x-request-id"])
    rows = len(server.logs("--lines", 1000))
    with contextlib.ExitStack() as open_sockets:
        slow = [open_sockets.enter_context(unfinished(server, "nobody", 100)) for _ in range(30)]
        until(lambda: metric(server, 'btvep_shed_total{reason="strangers"}') >= 29, "the refusals")
        assert raw.chat(server.public, key, model="m").status == 200
        for sock in answered(slow, 29):
            assert_shed(raw.receive(sock))
    server.row(raw.chat(server.public, key, model="m").headers["x-request-id"])
    assert len(server.logs("--lines", 1000)) <= rows + 3


def test_slow_bodies_are_bounded_by_the_bytes(server, gate):
    gate.open()
    heavy, light = server.create_key()[1], server.create_key()[1]
    with contextlib.ExitStack() as open_sockets:
        # Each counts twice: as it comes, and as it will be parsed. Bodies get half of the 16 MiB, one key most of it.
        slow = [open_sockets.enter_context(unfinished(server, heavy, MIB // 2)) for _ in range(40)]
        for sock in answered(slow, 33):
            assert_shed(raw.receive(sock))
        assert metric(server, "btvep_bytes_in_flight") == 7 * MIB
        assert raw.chat(server.public, light, model="m").status == 200


def test_a_heavy_key_cannot_keep_a_light_one_out(server, miner, gate):
    gate.open()
    heavy, light = server.create_key()[1], server.create_key()[1]
    body = {"model": "m", "messages": [{"role": "user", "content": "heavy"}]}
    miner.script = scripted.after(0.05)
    try:
        with load.Hammer(server.public, heavy, body, 10 * REQUESTS) as hammer:
            until(lambda: hammer.statuses[503], "the first refusal")
            for _ in range(20):
                assert raw.chat(server.public, light, "light", model="m").status == 200
    finally:
        miner.script = gate.script
    assert set(hammer.statuses) == {200, 503}


def test_ten_times_the_load_takes_no_more_memory_and_health_is_answered(server, miner, gate):
    gate.open()
    key = server.create_key()[1]
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 60_000}]}
    miner.script = scripted.after(0.02)
    try:
        with load.Hammer(server.public, key, body, ALONE) as peak:
            until(lambda: peak.statuses[200] >= 200, "answers at the peak", 60)
        before = resident(server)
        with load.Hammer(server.public, key, body, 10 * REQUESTS) as hammer:
            until(lambda: hammer.statuses[503] and hammer.statuses[200] >= 200, "answers under overload", 60)
            for address, path in [(server.public, "/livez"), (server.public, "/readyz"), (server.admin, "/readyz")]:
                begun = time.monotonic()
                assert raw.request(address, "GET", path).status == 200
                assert time.monotonic() - begun < 10
            assert resident(server) < before + 32 * MIB
    finally:
        miner.script = gate.script
    assert set(hammer.statuses) == {200, 503}


def test_changed_caps_hold_from_the_next_request_on(serve, miner, gate):
    settings = config.with_upstream(miner.url, filters=UNLIMITED)
    own = serve(settings)
    key = own.create_key()[1]
    held = hold(own, miner, key, 3)

    def caps(**overload):
        config.write(own.file, {**settings, "state": {"path": "state"}, "overload": overload})
        own.run("config", "reload")

    caps(requests=3)
    assert_shed(raw.chat(own.public, key, model="m"))
    caps(requests=10)
    held += hold(own, miner, key, 5)
    assert_shed(raw.chat(own.public, key, model="m"))
    gate.open()
    assert [raw.receive(sock).status for sock in held] == [200] * 8
