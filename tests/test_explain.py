"""How an answer came about: in the answer, in the row, on the command line."""
import pytest

from harness import config, raw, scripted
from harness.scripted import Call

ASKED = {"x-btvep-explain": "1"}
PROMPT = "a prompt that nobody else says"
FAIL, ECHO, OTHER = range(3)


async def refuse_in_own_words(call):
    await call.json(500, {"error": {"message": f"\x1b[31mI refuse: {call.prompt}"}})


@pytest.fixture(scope="module")
def miners(stage):
    return [stage.miner(script) for script in (refuse_in_own_words, Call.echo, Call.echo)]


@pytest.fixture(scope="module")
def settings(miners, tmp_path_factory):
    file = config.neurons(tmp_path_factory.mktemp("neurons") / "neurons.toml", miners)

    def made(**logging):
        return config.base(filters={"logging": logging} if logging else {},
                           subnet=[config.subnet(file, {"kind": "btauth"})],
                           model=[{"id": "m", "subnet": "sn1", "price": 2}])
    return made


@pytest.fixture(scope="module")
def server(serve, settings):
    return serve(settings())


def ask(server, key, headers=ASKED, **fields):
    return raw.chat(server.public, key, PROMPT, headers=headers, **{"model": "m", **fields})


def check(explain):
    """Of a request for `FAIL` and then `ECHO`, one at a time."""
    assert [step["name"] for step in explain["filters"]] == ["logging", "auth", "rate_limit", "credits", "moderation"]
    assert {step["verdict"] for step in explain["filters"]} == {"passed"}
    assert explain["strategy"] == {"name": "uids=0,1", "named_by": "body", "empty": [], "in_parallel": 1,
                                   "first_success": True}
    assert [(c["uid"], c["verdict"]) for c in explain["candidates"]] == [
        (FAIL, "asked_first"), (ECHO, "asked"), (OTHER, "not_among_uids")]
    assert [(a["uid"], a["outcome"], a.get("reason")) for a in explain["attempts"]] == [
        (FAIL, "failed", "status"), (ECHO, "success", None)]
    assert (explain["held"], explain["charged"], explain["more_candidates"]) == (2, 2, 0)
    assert PROMPT not in str(explain) and "refuse" not in str(explain)


def test_the_answer_the_row_and_the_command_line_say_the_same(server, new_key):
    _, key = new_key("--credits", "10", "--explain", "true")
    answer = ask(server, key, uids=[FAIL, ECHO], in_parallel=1)
    explain = answer.json()["validator"]["explain"]
    assert explain["config"] == answer.headers["x-btvep-config"]
    check(explain)
    request_id = answer.headers["x-request-id"]
    assert server.row(request_id)["explain"] == explain
    told = server.cli("explain", request_id)
    assert (told["request_id"], told["outcome"], told["explain"]) == (request_id, "answered", explain)
    shown = server.run("explain", request_id).stdout
    for word in (request_id, "named by body", "asked_first", "not_among_uids", "status", "charged 2"):
        assert word in shown
    assert PROMPT not in shown and "\x1b" not in shown


def test_a_stream_tells_it_in_its_last_event(server, new_key):
    _, key = new_key("--credits", "10", "--explain", "true")
    answer = ask(server, key, uids=[FAIL, ECHO], in_parallel=1, stream=True)
    last = answer.body.decode().strip().split("\n\n")[-2]
    check(raw.json.loads(last.removeprefix("data: "))["validator"]["explain"])


def test_the_legacy_surface_has_it_beside_the_choices(server, new_key):
    _, key = new_key("--credits", "10", "--explain", "true")
    body = {"messages": [{"role": "user", "content": PROMPT}], "uids": [FAIL, ECHO], "in_parallel": 1}
    answer = raw.request(server.public, "POST", "/chat", {**raw.bearer(key), **ASKED}, body)
    check(answer.json()["explain"])


def test_a_key_needs_leave(server, new_key):
    key_id, key = new_key("--credits", "10")
    refused = ask(server, key)
    assert (refused.status, refused.json()["error"]["code"]) == (403, "not_allowed")
    assert refused.json()["error"]["param"] == "x-btvep-explain"
    assert server.cli("key", "edit", key_id, "--explain", "true")["explain"] is True
    assert ask(server, key, uids=[ECHO]).status == 200
    assert server.cli("key", "edit", key_id, "--explain", "false")["explain"] is False
    assert ask(server, key).status == 403


def test_what_was_not_asked_for_is_not_told(server, new_key):
    _, key = new_key("--explain", "true")
    answer = ask(server, key, headers={}, uids=[ECHO])
    assert "explain" not in answer.json()["validator"]
    assert "explain" not in server.row(answer.headers["x-request-id"])
    failed = server.run("explain", answer.headers["x-request-id"], check=False)
    assert failed.returncode == 1
    assert "x-btvep-explain" in failed.stderr


def test_a_refused_request_is_explained_in_its_row(server, new_key):
    _, key = new_key("--credits", "1", "--explain", "true")
    refused = ask(server, key, uids=[ECHO])
    assert refused.status == 429
    told = server.cli("explain", refused.headers["x-request-id"])
    assert (told["outcome"], told["explain"]["attempts"]) == ("insufficient_quota", [])
    assert [c["verdict"] for c in told["explain"]["candidates"]] == ["not_needed", "not_among_uids", "not_among_uids"]


def test_the_policy_says_which_rows_carry_it(serve, settings):
    always, never = serve(settings(explain="always")), serve(settings(explain="never"))
    _, key = always.create_key()
    answer = ask(always, key, headers={}, uids=[FAIL, ECHO], in_parallel=1)
    assert "explain" not in answer.json()["validator"]
    check(always.cli("explain", answer.headers["x-request-id"])["explain"])
    _, key = never.create_key("--explain", "true")
    answer = ask(never, key, uids=[FAIL, ECHO], in_parallel=1)
    check(answer.json()["validator"]["explain"])
    assert "explain" not in never.row(answer.headers["x-request-id"])
