"""The charge table, a test a row. Rows about crashes: test_crash.py and the store's own tests."""
import pytest

from harness import config, raw, scripted
from harness.scripted import Call

PRICE = 2
START = 100
ECHO, FAIL, EMPTY, HANG, ORDERED, OTHER = range(6)


@pytest.fixture(scope="module")
def miners(stage):
    scripts = {ECHO: Call.echo, FAIL: scripted.fail, EMPTY: scripted.empty, HANG: scripted.hang,
               ORDERED: scripted.stream_as_told, OTHER: Call.echo}
    return [stage.miner(script) for script in scripts.values()]


@pytest.fixture(scope="module")
def server(serve, miners, tmp_path_factory):
    file = config.neurons(tmp_path_factory.mktemp("neurons") / "neurons.toml", miners)
    deadlines = {"connect": "2s", "first_token": "2s", "idle": "2s", "total": "10s"}
    return serve(config.base(
        filters={"moderation": {"mode": "fail_closed", "keywords": ["forbidden"]}},
        subnet=[config.subnet(file, {"kind": "btauth"}, deadlines=deadlines)],
        model=[{"id": "m", "subnet": "sn1", "price": PRICE}]))


@pytest.fixture
def paying(server):
    """A key with credit for 50 choices, and what has been charged of it."""
    key_id, key = server.create_key("--credits", START)

    def charged():
        return START - float(server.settled(key_id)["credits"])
    return key, charged


def ask(server, key, uids, text="hello", **fields):
    return raw.chat(server.public, key, text, model="m", uids=list(uids), **fields)


def check(response, status, charged, expected):
    assert response.status == status, response.body
    assert charged() == expected


def test_one_answer_costs_one_price(server, paying):
    key, charged = paying
    response = ask(server, key, [ECHO])
    check(response, 200, charged, PRICE)
    assert response.json()["validator"]["credits_charged"] == PRICE
    assert response.headers["x-btvep-credits-remaining"] == str(START - PRICE)


def test_failures_beside_an_answer_are_free(server, paying):
    key, charged = paying
    check(ask(server, key, [FAIL, EMPTY, ECHO], in_parallel=1), 200, charged, PRICE)


def test_cancelled_miners_are_free(server, paying):
    key, charged = paying
    check(ask(server, key, [HANG, ECHO]), 200, charged, PRICE)


def test_wait_for_all_costs_each_success(server, paying):
    key, charged = paying
    response = ask(server, key, [ECHO, FAIL, OTHER, EMPTY], respond_on_first_success=False)
    check(response, 200, charged, 2 * PRICE)


def test_all_failed_is_free(server, paying):
    key, charged = paying
    check(ask(server, key, [FAIL]), 502, charged, 0)


def test_an_empty_completion_is_free(server, paying):
    key, charged = paying
    check(ask(server, key, [EMPTY]), 502, charged, 0)


def test_an_empty_stream_is_free(server, paying):
    key, charged = paying
    check(ask(server, key, [EMPTY], stream=True), 502, charged, 0)


def test_a_timeout_is_free(server, paying):
    key, charged = paying
    check(ask(server, key, [HANG], headers={"x-btvep-timeout-ms": "300"}), 502, charged, 0)


@pytest.mark.parametrize(("fields", "status"), [
    ({"uids": [0], "messages": []}, 400), ({"uids": [99]}, 400), ({"uids": []}, 400), ({"model": "nope"}, 404),
    ({"uids": [0], "messages": [{"role": "user", "content": "a forbidden word"}]}, 400)])
def test_what_is_refused_is_free(server, paying, fields, status):
    key, charged = paying
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}
    response = raw.request(server.public, "POST", "/v1/chat/completions", raw.bearer(key), body)
    check(response, status, charged, 0)


def test_too_little_credit_is_free(server):
    key_id, key = server.create_key("--credits", "1.5")
    assert ask(server, key, [ECHO]).json()["error"]["code"] == "insufficient_quota"
    assert float(server.settled(key_id)["credits"]) == 1.5


def test_a_stream_costs_one_price_and_says_so_in_its_last_chunk(server, paying):
    key, charged = paying
    with raw.EventStream(server.public, key, "one two", model="m", uids=[ECHO]) as stream:
        events = stream.events()
    assert events[-2]["validator"]["credits_charged"] == PRICE
    assert charged() == PRICE


def test_gone_before_the_first_token_is_free(server, paying, miners):
    key, charged = paying
    stream = raw.EventStream(server.public, key, model="m", uids=[ORDERED])
    call = miners[ORDERED].next_call()
    stream.close()
    call.wait_gone()
    assert charged() == 0


def test_gone_after_a_token_costs_the_choice(server, paying, miners):
    key, charged = paying
    stream = raw.EventStream(server.public, key, model="m", uids=[ORDERED])
    call = miners[ORDERED].next_call()
    call.tell("one ")
    assert any(raw.text_of([event]) == "one " for event in stream)
    stream.close()
    call.wait_gone()
    assert charged() == PRICE


def test_gone_while_a_whole_answer_is_fetched_is_free(server, paying, miners):
    key, charged = paying
    sock = raw.connect(server.public)
    body = b'{"model":"m","uids":[4],"messages":[{"role":"user","content":"x"}]}'
    headers = {**raw.bearer(key), "content-type": "application/json"}
    sock.sendall(raw.head("POST", "/v1/chat/completions", headers, len(body)) + body)
    call = miners[ORDERED].next_call()
    sock.close()
    call.wait_gone()
    assert charged() == 0


def test_a_stream_that_breaks_after_a_token_costs_the_choice(server, paying, miners):
    key, charged = paying
    with raw.EventStream(server.public, key, model="m", uids=[ORDERED]) as stream:
        call = miners[ORDERED].next_call()
        call.tell("one ")
        call.tell(scripted.BREAK)
        events = stream.events()
    assert events[-2]["error"]
    assert charged() == PRICE


def test_a_stream_that_breaks_before_its_first_token_is_free(server, paying, miners):
    key, charged = paying
    with raw.EventStream(server.public, key, model="m", uids=[ORDERED]) as stream:
        miners[ORDERED].next_call().tell(scripted.BREAK)
        assert stream.begin().status == 502
    assert charged() == 0
