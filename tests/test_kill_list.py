"""What acts at once, also on requests in flight."""
import threading
import time

import pytest

from harness import config, raw, scripted
from harness.deadline import until
from harness.scripted import Call

# Seconds from the command's return to the stream's end.
SOON = 1.0
REVOCATIONS = {"edit": (["--disable"], "api_key_disabled"), "expire": (["--valid-until", "2020-01-01"], "api_key_expired"),
               "delete": ([], "invalid_api_key")}


@pytest.fixture(scope="module")
def miner(stage):
    return stage.miner(scripted.stream_as_told)


@pytest.fixture(scope="module")
def server(serve, miner):
    return serve(config.with_upstream(miner.url, price="2"))


def revoke(server, key_id, how):
    """Returns the code that requests of the key get from now on, and when that was."""
    options, code = REVOCATIONS[how]
    server.cli("key", "delete" if how == "delete" else "edit", key_id, *options)
    return code, time.monotonic()


@pytest.mark.parametrize("how", REVOCATIONS)
def test_the_stream_of_a_revoked_key_ends_within_a_second(server, miner, new_key, how):
    key_id, key = new_key("--credits", "10")
    with raw.EventStream(server.public, key, model="m") as stream:
        call = miner.next_call()
        call.tell("one ")
        events = iter(stream)
        assert next(text for event in events if (text := raw.text_of([event]))) == "one "
        code, at = revoke(server, key_id, how)
        rest = list(events)
        assert time.monotonic() - at < SOON
    call.wait_gone()
    assert rest[-1] == "[DONE]"
    assert rest[-2]["error"]["code"] == code
    assert rest[-2]["validator"]["credits_charged"] == 2
    row = server.row(stream.headers["x-request-id"])
    assert (row["outcome"], row["error"], row["charged"]) == ("partial", code, 2)
    if how != "delete":
        assert server.settled(key_id)["credits"] == 8
    assert raw.chat(server.public, key, model="m").json()["error"]["code"] == code


@pytest.mark.parametrize("how", REVOCATIONS)
def test_a_whole_answer_for_a_revoked_key_is_refused_and_free(server, miner, new_key, how):
    key_id, key = new_key("--credits", "10")
    got = []
    asking = threading.Thread(target=lambda: got.append(raw.chat(server.public, key, model="m")))
    asking.start()
    call = miner.next_call()
    code, at = revoke(server, key_id, how)
    asking.join(20)
    assert time.monotonic() - at < SOON
    call.wait_gone()
    assert (got[0].status, got[0].json()["error"]["code"]) == (401, code)
    assert server.row(got[0].headers["x-request-id"])["charged"] == 0
    if how != "delete":
        assert server.settled(key_id)["credits"] == 10


def test_other_changes_of_a_key_do_not_end_its_stream(server, miner, new_key):
    key_id, key = new_key()
    with raw.EventStream(server.public, key, model="m") as stream:
        call = miner.next_call()
        call.tell("one ")
        server.cli("key", "edit", key_id, "--name", "renamed", "--credits", "5")
        call.tell("two")
        call.tell(None)
        assert raw.text_of(stream.events()) == "one two"


# Bans and disabled strategies come with a changed configuration.

HANG, ORDERED, ECHO = range(3)


@pytest.fixture(scope="module")
def miners(stage):
    return [stage.miner(script) for script in (scripted.hang, scripted.stream_as_told, Call.echo)]


@pytest.fixture(scope="module")
def settings(miners, tmp_path_factory):
    file = config.neurons(tmp_path_factory.mktemp("neurons") / "neurons.toml", miners)
    return {**config.base(subnet=[config.subnet(file, {"kind": "btauth"})],
                          model=[{"id": "m", "subnet": "sn1", "price": 2}]), "state": {"path": "state"}}


@pytest.fixture(scope="module")
def subnet(serve, settings):
    return serve(settings)


@pytest.fixture
def change(subnet, settings):
    """Writes the configuration anew with more in it, while the server serves; at the end without."""
    def written(**more):
        config.write(subnet.file, {**settings, **more})
        return time.monotonic()
    yield written
    written()
    _, key = subnet.create_key()
    until(lambda: raw.chat(subnet.public, key, model="m", uids=[ECHO]).status == 200
          and raw.chat(subnet.public, key, model="m", top_n=3).status == 200, "the first configuration")


def banned(*miners):
    return {"ban": [{"hotkey": miner.hotkey, "reason": "a test"} for miner in miners]}


def asking(server, key, **fields):
    """Sends a prompt from a thread of its own; call the result to wait for its answer."""
    got = []
    thread = threading.Thread(target=lambda: got.append(raw.chat(server.public, key, model="m", **fields)))
    thread.start()

    def answer():
        thread.join(20)
        return got[0]
    return answer


def test_the_stream_of_a_banned_miner_breaks(subnet, miners, change):
    key_id, key = subnet.create_key("--credits", "10")
    with raw.EventStream(subnet.public, key, model="m", uids=[ORDERED]) as stream:
        call = miners[ORDERED].next_call()
        call.tell("one ")
        events = iter(stream)
        assert next(text for event in events if (text := raw.text_of([event]))) == "one "
        at = change(**banned(miners[ORDERED]))
        rest = list(events)
        assert time.monotonic() - at < SOON
    call.wait_gone()
    assert (rest[-2]["error"]["code"], rest[-1]) == ("all_miners_failed", "[DONE]")
    row = subnet.row(stream.headers["x-request-id"])
    assert (row["outcome"], row["charged"], row["attempts"][0]["error"]) == ("partial", 2, "banned")
    assert subnet.settled(key_id)["credits"] == 8
    assert "banned" not in str(rest)


def test_another_miner_takes_over_from_a_banned_one(subnet, miners, change):
    _, key = subnet.create_key()
    answer = asking(subnet, key, uids=[HANG, ECHO], in_parallel=1)
    call = miners[HANG].next_call()
    change(**banned(miners[HANG]))
    call.wait_gone()
    assert answer().json()["validator"]["uid"] == ECHO


def test_a_banned_miner_is_refused_like_an_unknown_one(subnet, miners, change):
    _, key = subnet.create_key()
    change(**banned(miners[ECHO]))

    def refused(uid):
        return raw.chat(subnet.public, key, model="m", uids=[uid])
    until(lambda: refused(ECHO).status == 400, "the ban")
    known, unknown = refused(ECHO).json()["error"], refused(99).json()["error"]
    assert known == {**unknown, "message": unknown["message"].replace("99", str(ECHO))}


def test_a_disabled_strategy_ends_what_waits_under_it(subnet, miners, change):
    key_id, key = subnet.create_key("--credits", "10")
    answer = asking(subnet, key, top_n=1)
    call = miners[HANG].next_call()
    change(strategies={"disabled": ["top_n"]})
    call.wait_gone()
    refused = answer()
    assert (refused.status, refused.json()["error"]["code"]) == (503, "strategy_disabled")
    again = raw.chat(subnet.public, key, model="m", top_n=1)
    assert (again.status, again.json()["error"]["code"]) == (400, "invalid_selection")
    assert subnet.settled(key_id)["credits"] == 10
