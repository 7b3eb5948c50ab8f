"""Prompts are moderated by a list of the operator's own and by an endpoint, and refusals are free."""
import pytest

from harness import config, raw
from harness.scripted import Call


@pytest.fixture(scope="module")
def endpoint(stage):
    """OpenAI's moderation API: flags whoever speaks of violence, and hangs on whoever wants it to."""
    async def script(call):
        texts = " ".join(call.body["input"])
        if "hang" in texts:
            return await call.gone.wait()
        flagged = "violence" in texts
        await call.json(200, {"id": "x", "model": call.body["model"], "results": [
            {"flagged": flagged, "categories": {"violence": flagged, "hate": False}, "category_scores": {}}]})
    return stage.miner(script)


@pytest.fixture(scope="module")
def server(serve, stage, endpoint):
    moderation = {"mode": "fail_closed", "base_url": f"{endpoint.url}/v1", "key": "env:MODERATION_KEY",
                  "model": "our-model", "timeout": "500ms", "keywords": ["forbidden"], "patterns": ["(?i)s[e3]cret"]}
    return serve(config.with_upstream(stage.miner(Call.echo).url, filters={"moderation": moderation}),
                 env={"MODERATION_KEY": "mod-key"})


def ask(server, key, text, **fields):
    return raw.chat(server.public, key, text, **{"model": "m", **fields})


def check_refused(server, key_id, response):
    assert (response.status, response.json()["error"]["code"]) == (400, "content_filter")
    assert response.headers["x-should-retry"] == "false"
    assert float(server.settled(key_id)["credits"]) == 10


@pytest.mark.parametrize("text", ["a forbidden word", "FORBIDDEN", "my s3cret", "praise of violence"])
def test_what_is_flagged_is_refused_and_free(server, text):
    key_id, key = server.create_key("--credits", 10)
    check_refused(server, key_id, ask(server, key, text))


def test_every_message_is_looked_at(server):
    key_id, key = server.create_key("--credits", 10)
    messages = [{"role": "system", "content": "violence"}, {"role": "assistant", "content": [
        {"type": "text", "text": "fine"}]}, {"role": "user", "content": "go on"}]
    body = {"model": "m", "messages": messages}
    check_refused(server, key_id, raw.request(server.public, "POST", "/v1/chat/completions", raw.bearer(key), body))


def test_the_legacy_surface_says_it_as_it_did(server):
    _, key = server.create_key("--name", "legacy")
    response = ask(server, key, "violence", path="/chat")
    assert (response.status, response.json()) == (400, {"detail": "OpenAI moderation filter triggered"})


def test_what_is_not_flagged_passes(server, endpoint):
    _, key = server.create_key("--name", "peaceful")
    assert ask(server, key, "peace").status == 200
    asked = list(endpoint.calls.queue)[-1]
    assert asked.body == {"model": "our-model", "input": ["peace"]}
    assert asked.headers["authorization"] == "Bearer mod-key"


def test_a_stranger_cannot_make_us_ask(server, endpoint):
    asked = endpoint.count
    assert ask(server, "btvep_aaaaaaaaaaaa_b", "violence").status == 401
    _, poor = server.create_key("--credits", 0)
    assert ask(server, poor, "violence").json()["error"]["code"] == "insufficient_quota"
    assert endpoint.count == asked


@pytest.mark.parametrize(("mode", "text", "status"), [
    ("fail_closed", "hang", 503), ("fail_open", "hang", 200), ("monitor", "hang", 200), ("off", "hang", 200),
    ("monitor", "violence", 200), ("off", "forbidden", 200), ("fail_open", "violence", 400)])
def test_each_key_has_its_mode(server, mode, text, status):
    _, key = server.create_key("--moderation", mode)
    response = ask(server, key, text)
    assert response.status == status, response.body
    if status == 503:
        assert response.json()["error"]["code"] == "moderation_unavailable"


def test_a_row_tells_what_was_flagged(server):
    _, key = server.create_key("--moderation", "monitor")
    response = ask(server, key, "violence")
    assert server.row(response.headers["x-request-id"])["flagged"] == ["violence"]
