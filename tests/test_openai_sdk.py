"""The `openai` package, unmodified, is a client that needs no change but its base URL."""
import asyncio
import json

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.model import Model

from harness import config, raw, scripted
from harness.scripted import Call

MESSAGES = [{"role": "user", "content": "hello there"}]


@pytest.fixture(scope="module")
def broken(stage):
    return stage.miner(scripted.fail)


@pytest.fixture(scope="module")
def rich(stage):
    """Answers with everything that OpenAI's own API may answer with."""
    async def script(call):
        await call.json(200, {
            "id": "x", "object": "chat.completion", "created": 1, "model": "whatever",
            "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": None, "message": {
                "role": "assistant", "content": None, "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}})
    return stage.miner(script)


@pytest.fixture(scope="module")
def honest(stage):
    return stage.miner(Call.echo)


@pytest.fixture(scope="module")
def server(serve, honest, broken, rich):
    upstreams = {"m": honest, "broken": broken, "rich": rich, "org/name": honest}
    return serve(config.base(
        upstream=[{"name": f"up{n}", "base_url": f"{miner.url}/v1"} for n, miner in enumerate(upstreams.values())],
        model=[{"id": name, "upstream": f"up{n}", "price": "1"} for n, name in enumerate(upstreams)]))


@pytest.fixture
def connect(server):
    def make(key, retries=0):
        return openai.OpenAI(base_url=f"http://{server.public}/v1", api_key=key, max_retries=retries, timeout=20)
    return make


@pytest.fixture
def client(connect, new_key):
    return connect(new_key("--name", "sdk")[1])


def strictly(kind, value):
    """The package itself only constructs; this really validates."""
    return kind.model_validate(value.to_dict())


def test_chat(client):
    answer = client.chat.completions.create(model="m", messages=MESSAGES)
    strictly(ChatCompletion, answer)
    assert answer.choices[0].message.content == "echo:hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "m"
    assert answer._request_id


def test_everything_an_upstream_says_reaches_the_client(client):
    answer = client.chat.completions.create(model="rich", messages=MESSAGES)
    strictly(ChatCompletion, answer)
    call = answer.choices[0].message.tool_calls[0]
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "f", "{\"a\": 1}")
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.usage.total_tokens == 7


def test_stream(client):
    chunks = list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))
    for chunk in chunks:
        strictly(ChatCompletionChunk, chunk)
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "echo:hello there"
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert not any(chunk.usage for chunk in chunks)


def test_a_stream_with_usage(client):
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True, stream_options=options))
    for chunk in chunks:
        strictly(ChatCompletionChunk, chunk)


def test_the_stream_helper_accumulates(client):
    with client.chat.completions.stream(model="m", messages=MESSAGES) as stream:
        stream.until_done()
        answer = stream.get_final_completion()
    assert answer.choices[0].message.content == "echo:hello there"


@pytest.mark.parametrize("stream", [False, True])
def test_the_async_client(server, new_key, stream):
    async def ask():
        key = new_key("--name", "async")[1]
        async with openai.AsyncOpenAI(base_url=f"http://{server.public}/v1", api_key=key, max_retries=0) as client:
            answer = await client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
            if not stream:
                return answer.choices[0].message.content
            return "".join([choice.delta.content or "" async for chunk in answer for choice in chunk.choices])

    assert asyncio.run(ask()) == "echo:hello there"


def test_the_list_of_models(client):
    page = client.models.list()
    assert [model.id for model in page.data][:4] == ["m", "broken", "rich", "org/name"]
    for model in page.data:
        strictly(Model, model)


@pytest.mark.parametrize("name", ["m", "org/name"])
def test_one_model(client, name):
    model = client.models.retrieve(name)
    strictly(Model, model)
    assert model.id == name


def test_a_model_that_is_not_there(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nope")
    check(caught.value, "model_not_found")


def check(error, code):
    """What a program sees of an error."""
    assert error.code == code
    assert error.message and error.body["message"]
    assert set(error.body) >= {"message", "type", "param", "code"}
    assert error.request_id
    assert error.response.headers["content-type"].startswith("application/json")


def refused(client, kind, code, **fields):
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{"model": "m", "messages": MESSAGES, **fields})
    check(caught.value, code)
    return caught.value


@pytest.mark.parametrize("key", ["nonsense", "btvep_aaaaaaaaaaaa_" + "b" * 40])
def test_a_wrong_key(connect, key):
    error = refused(connect(key), openai.AuthenticationError, "invalid_api_key")
    assert error.response.headers["www-authenticate"] == "Bearer"


def test_a_wrong_key_sees_no_models(connect):
    with pytest.raises(openai.AuthenticationError):
        connect("nonsense").models.list()


def test_a_deleted_key(server, connect, new_key):
    key_id, key = new_key("--name", "doomed")
    client = connect(key)
    client.chat.completions.create(model="m", messages=MESSAGES)
    server.cli("key", "delete", key_id)
    refused(client, openai.AuthenticationError, "invalid_api_key")


def test_no_credit(connect, new_key):
    client = connect(new_key("--credits", "1")[1])
    client.chat.completions.create(model="m", messages=MESSAGES)
    error = refused(client, openai.RateLimitError, "insufficient_quota")
    assert error.type == "insufficient_quota"
    assert error.response.headers["x-should-retry"] == "false"


def test_rate_limited(server, connect, new_key):
    key_id, key = new_key("--name", "limited")
    server.run("ratelimit", "add", 1, 3600, "--key", key_id)
    client = connect(key)
    first = client.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    error = refused(client, openai.RateLimitError, "rate_limit_exceeded")
    assert int(error.response.headers["retry-after"]) in range(3500, 3601)
    # Nobody should wait an hour in a call.
    assert error.response.headers["x-should-retry"] == "false"


def test_an_unknown_model(client):
    error = refused(client, openai.NotFoundError, "model_not_found", model="nope")
    assert error.param == "model"


@pytest.mark.parametrize("fields", [{"messages": []}, {"messages": "hello"}, {"messages": [{"role": "king"}]},
                                    {"temperature": "hot"}, {"n": 0}])
def test_a_bad_body(client, fields):
    error = refused(client, openai.BadRequestError, "invalid_value", **fields)
    assert error.param.startswith(next(iter(fields)))


def test_a_bad_selection(client):
    refused(client, openai.BadRequestError, "invalid_selection", extra_body={"top_n": 0})


def test_all_miners_failed_is_not_tried_again(connect, new_key, broken):
    before = broken.count
    error = refused(connect(new_key("--name", "again")[1], retries=2), openai.InternalServerError, "all_miners_failed",
                    model="broken")
    assert error.status_code == 502
    assert broken.count == before + 1


def test_what_passes_is_tried_again(connect, server, new_key):
    """A short rate limit lets the SDK's own retry succeed."""
    key_id, key = new_key("--name", "patient")
    server.run("ratelimit", "add", 1, 1, "--key", key_id)
    client = connect(key, retries=5)
    answers = [client.chat.completions.create(model="m", messages=MESSAGES) for _ in range(2)]
    assert [answer.choices[0].message.content for answer in answers] == ["echo:hello there"] * 2


def test_a_strategy_by_suffix_header_and_body_is_checked_alike(client):
    for fields in ({"model": "m:top_n=0"}, {"extra_headers": {"x-btvep-strategy": "top_n=0"}},
                   {"extra_body": {"strategy": "top_n=0"}}):
        refused(client, openai.BadRequestError, "invalid_selection", **fields)


def test_other_ways_to_show_a_key(server, new_key):
    key = new_key("--name", "other")[1]
    body = {"model": "m", "messages": MESSAGES}
    for headers in ({"x-api-key": key}, {"api-key": key}):
        assert raw.request(server.public, "POST", "/v1/chat/completions", headers, body).status == 200


def test_a_browser_may_ask(server):
    headers = {"origin": "https://example.com", "access-control-request-method": "POST",
               "access-control-request-headers": "authorization, content-type, x-stainless-os"}
    response = raw.request(server.public, "OPTIONS", "/v1/chat/completions", headers)
    assert response.status in (200, 204)
    assert "x-stainless-os" in response.headers["access-control-allow-headers"]


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions/", "/v1/chat/completions"])
def test_the_route_with_and_without_its_prefix(server, new_key, path):
    response = raw.chat(server.public, new_key("--name", "path")[1], "x", path=path, model="m")
    assert json.loads(response.body)["choices"][0]["message"]["content"] == "echo:x"
