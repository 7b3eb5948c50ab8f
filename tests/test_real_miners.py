"""Real miners: axons of SDK 10 (`synapse`) and verifiers of SDK 11 (`btauth`) accept what we sign."""
import random

import pytest

from harness import config, raw
from harness.load import pooled

DEADLINES = {"connect": "2s", "first_token": "3s", "idle": "3s", "total": "4s"}
SYNAPSE = {"kind": "synapse", "preset": "prompting_synapse"}
# Model by model, the other classes that the axons serve; the last two are described field by field.
CLASSES = {
    "prompting": {"preset": "prompting"},
    "synapse-stream": {"preset": "stream_prompting_synapse"},
    "stream-prompting": {"preset": "stream_prompting_synapse", "class": "StreamPrompting",
                         "extra_fields": {"completion": ""}},
    "rich": {"class": "RichPrompting", "mapping": {"objects": {"messages": "messages"}},
             "hash_fields": ["messages", "model", "seed", "temperature", "logprobs", "extra"],
             "required_fields": ["messages", "model"],
             "extra_fields": {"model": "rich", "seed": 7, "temperature": 1.0, "logprobs": False,
                              "extra": {"deep": ["naïve", 0.5]}}},
}
BTAUTH = {"kind": "btauth"}


@pytest.fixture(scope="module")
def server(serve, axons, verifiers, plain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("neurons")
    old = config.neurons(folder / "axons.toml", axons.miners)
    new = config.neurons(folder / "verifiers.toml", verifiers.miners)
    settings = config.base(
        subnet=[config.subnet(old, SYNAPSE, "old", deadlines=DEADLINES),
                config.subnet(new, BTAUTH, "new", deadlines=DEADLINES),
                *(config.subnet(old, {"kind": "synapse", **made}, name, deadlines=DEADLINES)
                  for name, made in CLASSES.items())],
        upstream=[{"name": "up", "base_url": f"http://127.0.0.1:{plain.miners[0]['port']}/v1", "key": "env:UP_KEY"}],
        model=[{"id": "synapse", "subnet": "old", "price": "1", "mode": "lenient"},
               {"id": "btauth", "subnet": "new", "price": "1"},
               {"id": "plain", "upstream": "up", "price": "1"},
               *({"id": name, "subnet": name, "price": "1"} for name in CLASSES)])
    return serve(settings, env={"UP_KEY": "upstream-key-canary"})


@pytest.fixture(scope="module")
def key(server):
    return server.create_key("--name", "miners")[1]


@pytest.fixture(params=["synapse", "btauth"])
def model(request):
    return request.param


@pytest.fixture
def miners(model, axons, verifiers):
    return axons if model == "synapse" else verifiers


def one(miners, behaviour):
    return miners.behaving(behaviour)[0]


def contents(answer):
    return [choice["message"]["content"] for choice in answer["choices"]]


def test_a_whole_answer_says_who_gave_it(server, key, model, miners):
    uid = one(miners, "echo")
    response = raw.chat(server.public, key, "hello", model=model, uids=[uid])
    answer = response.json()
    assert response.status == 200, answer
    assert contents(answer) == ["echo:hello"]
    assert answer["object"] == "chat.completion" and answer["id"].startswith("chatcmpl-")
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["validator"]["uid"] == uid
    assert answer["validator"]["hotkey"] == miners.miners[uid]["hotkey"]
    assert response.headers["x-btvep-hotkey"] == miners.miners[uid]["hotkey"]
    assert response.headers["x-btvep-credits-charged"] == "1"


def test_the_first_success_wins(server, key, model, miners):
    uids = [one(miners, name) for name in ("hang", "fail", "empty", "canned")]
    answer = raw.chat(server.public, key, model=model, uids=uids).json()
    assert contents(answer) == ["The quick brown fox jumps over the lazy dog."]
    assert answer["validator"]["uid"] == one(miners, "canned")


def test_a_slow_miner_is_waited_for(server, key, model, miners):
    answer = raw.chat(server.public, key, "late", model=model, uids=[one(miners, "slow")]).json()
    assert contents(answer) == ["echo:late"]
    assert answer["validator"]["miner_latency_ms"] >= 1000


def test_wait_for_all_gives_every_success_in_the_order_of_the_uids(server, key, axons):
    names = ["slow", "fail", "canned", "empty", "echo", "priority"]
    uids = [one(axons, name) for name in names]
    response = raw.chat(server.public, key, "all", path="/chat", uids=uids, respond_on_first_success=False)
    answer = response.json()
    assert response.status == 200, answer
    assert [choice["uid"] for choice in answer["choices"]] == [uids[0], uids[2], uids[4], uids[5]]
    assert contents(answer) == ["echo:all", "The quick brown fox jumps over the lazy dog.", "echo:all", "echo:all"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert sorted(failure["uid"] for failure in answer["failed_responses"]) == sorted([uids[1], uids[3]])
    assert all(failure["error"] for failure in answer["failed_responses"])
    for choice in answer["choices"]:
        assert choice["responder_hotkey"] == axons.miners[choice["uid"]]["hotkey"]
        assert isinstance(choice["response_ms"], int)


def test_wait_for_all_over_signed_requests(server, key, verifiers):
    uids = [one(verifiers, name) for name in ("echo", "http429", "canned", "badjson")]
    answer = raw.chat(server.public, key, "all", model="btauth", uids=uids, respond_on_first_success=False).json()
    assert contents(answer) == ["echo:all", "The quick brown fox jumps over the lazy dog."]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]


def test_batches_go_on_until_one_answers(server, key, axons):
    uids = [one(axons, name) for name in ("fail", "empty", "canned", "echo")]
    answer = raw.chat(server.public, key, path="/chat", uids=uids, in_parallel=2).json()
    assert len(answer["choices"]) == 1
    assert answer["choices"][0]["uid"] in uids[2:]
    assert sorted(failure["uid"] for failure in answer["failed_responses"]) == sorted(uids[:2])


def test_a_batch_that_answers_is_the_last(server, key, axons):
    uids = [one(axons, name) for name in ("fail", "canned", "hang")]
    response = raw.chat(server.public, key, path="/chat", uids=uids, in_parallel=1)
    assert response.json()["choices"][0]["uid"] == uids[1]
    assert response.headers["x-btvep-attempts"] == "2"


def test_all_failed_tells_each_reason_of_the_axons(server, key, axons):
    reasons = {"fail": "internal server error", "empty": "empty", "hang": "time", "blacklist": "blacklist",
               "badprio": "response timeout after"}
    uids = [one(axons, name) for name in reasons]
    response = raw.chat(server.public, key, path="/chat", uids=uids)
    answer = response.json()
    assert response.status == 502
    assert answer["detail"] == "All miner responses have failed."
    failures = {failure["uid"]: failure["error"].lower() for failure in answer["failed_responses"]}
    assert sorted(failures) == sorted(uids)
    for name, reason in reasons.items():
        assert reason in failures[one(axons, name)], (name, failures)


def test_all_failed_tells_each_reason_of_the_verifiers(server, key, verifiers):
    reasons = {"fail": "exploded", "empty": "empty", "hang": "time", "http429": "busy", "http503": "down",
               "badjson": "failed to parse"}
    response = raw.chat(server.public, key, model="btauth", uids=[one(verifiers, name) for name in reasons])
    error = response.json()["error"]
    assert response.status == 502
    assert error["code"] == "all_miners_failed"
    assert response.headers["x-should-retry"] == "false"
    failures = {failure["uid"]: failure["error"].lower() for failure in error["details"]}
    for name, reason in reasons.items():
        assert reason in failures[one(verifiers, name)], (name, failures)


def test_an_axon_that_knows_us_answers(server, key, axons):
    answer = raw.chat(server.public, key, "it is me", model="synapse", uids=[one(axons, "allow")]).json()
    assert contents(answer) == ["echo:it is me"]


def test_top_n_takes_the_highest_incentive(server, key, model, miners):
    answer = raw.chat(server.public, key, "best", model=model, top_n=2, respond_on_first_success=False)
    assert sorted(contents(answer.json())) == ["The quick brown fox jumps over the lazy dog.", "echo:best"]
    assert answer.headers["x-btvep-strategy-source"] == "body"


def test_an_upstream_answers_behind_its_own_key(server, key):
    answer = raw.chat(server.public, key, "hello", model="plain").json()
    assert contents(answer) == ["echo:hello"]
    assert "uid" not in answer["validator"]


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_the_axons_is_spoken(server, key, axons, name):
    answer = raw.chat(server.public, key, "naïve 日本語 😀", model=name, uids=[one(axons, "echo")]).json()
    assert contents(answer) == ["echo:naïve 日本語 😀"]


@pytest.mark.parametrize("streaming", ["synapse", "btauth", "plain", *CLASSES])
def test_every_protocol_gives_a_correct_stream(server, key, streaming):
    fields = {} if streaming == "plain" else {"uids": [0]}
    with raw.EventStream(server.public, key, "one two three", model=streaming, **fields) as stream:
        stream.begin()
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = stream.events()
    assert raw.text_of(events) == "echo:one two three"
    assert events[-1] == "[DONE]"
    chunks = events[:-1]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    finished = [chunk for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert len(finished) == 1 and finished[0]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["validator"]["credits_charged"] in (1, 1.0, "1")


def test_a_stream_that_breaks_says_so(server, key, verifiers):
    """An axon's stream that breaks cannot be told from one that ends: the SDK ends its chunks in order."""
    with raw.EventStream(server.public, key, "a b c d", model="btauth", uids=[one(verifiers, "midfail")]) as stream:
        events = stream.events()
    assert events[-1] == "[DONE]"
    assert set(events[-2]["error"]) >= {"message", "type", "param", "code"}


WORDS = ["plain", "naïve", "Zürich", "日本語", "العربية", "עברית", "ไทย", "Ελληνικά", "😀", "👩‍👩‍👧‍👦", "🇸🇪", "\U0001FA77", "\U0001FAE0",
         "'single'", '"double"', "it's \"both\"", "back\\slash", "new\nline", "tab\t", "\u200b", "\u00a0", "\u2028", "e\u0301",
         "\x7f", "${x}", "%s", "{}", "[1, 2]", "None", "\\u0041", "\U000e0041", "\ufeff", "\u0378", "\U0010ffff"]


def prompts():
    random.seed(20231205)
    return [" ".join(random.choices(WORDS, k=random.randint(1, 24))) + f" #{n}" for n in range(300)]


def test_300_prompts_come_back_byte_for_byte(server, key, model, miners):
    echoes = [one(miners, "echo")] + (miners.behaving("priority") + miners.behaving("allow"))
    bodies = [{"model": model, "uids": [echoes[n % len(echoes)]], "messages": [{"role": "user", "content": text}]}
              for n, text in enumerate(prompts())]
    results = pooled(server.public, key, bodies, width=30, seconds=180)
    assert [(result.status, result.body) for result in results if result.status != 200] == []
    for result, body in zip(results, bodies, strict=True):
        assert contents(result.json()) == ["echo:" + body["messages"][0]["content"]]
