"""What acts at once, also on requests in flight."""
import threading
import time

import pytest

from harness import config, raw, scripted

# From the command's return to the stream's end: a second, and what a loaded machine takes to run this test.
SOON = 1.0 + 2.0
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
