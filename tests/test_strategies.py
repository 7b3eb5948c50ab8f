"""Strategies that choose by what is known: whom they ask, what they are called, what is charged."""
import asyncio

import pytest

from harness import config, raw
from harness.scripted import Call

MINERS, LEADER = 4, 0
# More than a share of 0.1, divided by four miners, gives one of them of 50 requests, but for once in 100,000.
EXPLORED = 8
SLOW_SECONDS = 0.4


async def slow(call):
    await asyncio.sleep(SLOW_SECONDS)
    await call.echo()


@pytest.fixture(scope="module")
def miners(stage):
    return [stage.miner(Call.echo) for _ in range(MINERS)]


@pytest.fixture(scope="module")
def server(serve, miners, tmp_path_factory):
    file = config.neurons(tmp_path_factory.mktemp("neurons") / "neurons.toml", miners)
    return serve(config.base(subnet=[config.subnet(file, {"kind": "btauth"})],
                             strategies={"lowest_latency": {"explore": 0.1}, "disabled": ["uids"]},
                             model=[{"id": "m", "subnet": "sn1", "price": 1,
                                     "presets": ["lowest_latency", "weighted:2", "uids:1"]}]))


def ask(server, key, model="m", headers=None, **fields):
    answer = raw.chat(server.public, key, model=model, headers=headers, **fields)
    assert answer.status == 200, answer.body
    return answer


class Traffic:
    """Requests one after the other, and who answered them."""

    def __init__(self, server, key):
        self.server, self.key, self.total = server, key, 0

    def of_leader(self, count=50):
        self.total += count
        uids = [ask(self.server, self.key, strategy="lowest_latency").headers["x-btvep-uid"] for _ in range(count)]
        return uids.count(str(LEADER))

    def until_leader_is_liked(self):
        """Until it has more of 50 requests than explorers give it: those are one or two."""
        rounds = (self.of_leader() for _ in range(60))
        assert any(count > EXPLORED for count in rounds), "it has not come back"


def test_lowest_latency_leaves_a_slow_miner_within_50_requests_and_comes_back(server, miners, new_key):
    key_id, key = new_key("--credits", "10000")
    traffic = Traffic(server, key)
    traffic.until_leader_is_liked()
    miners[LEADER].script = slow
    met = traffic.of_leader()
    assert traffic.of_leader() <= EXPLORED, f"it is still asked; {met} times in the 50 before"
    miners[LEADER].script = Call.echo
    traffic.until_leader_is_liked()
    assert float(server.settled(key_id)["credits"]) == 10_000 - traffic.total


def test_every_place_names_them_like_any_other(server, new_key):
    _, key = new_key("--credits", "100", "--explain", "true")
    _, by_key = new_key("--credits", "100", "--explain", "true", "--default-query-strategy", "weighted:2")

    def used(key, model="m", headers=(), **fields):
        answer = ask(server, key, model, headers={"x-btvep-explain": "1", **dict(headers)}, **fields)
        strategy = answer.json()["validator"]["explain"]["strategy"]
        assert answer.headers["x-btvep-strategy"] == strategy["name"].split("=")[0]
        return strategy["name"], strategy["named_by"]
    assert used(key, strategy="lowest_latency:2") == ("lowest_latency=2", "body")
    assert used(key, strategy="lowest_latency", top_n=3) == ("lowest_latency=3", "body")
    assert used(key, headers={"x-btvep-strategy": "weighted"}) == ("weighted", "header")
    assert used(key, "m:lowest_latency:3") == ("lowest_latency=3", "suffix")
    assert used(by_key) == ("weighted=2", "key")


def test_presets_are_models_that_can_be_picked(server, new_key):
    _, key = new_key("--credits", "100")

    def get(path):
        return raw.request(server.public, "GET", path, raw.bearer(key))
    ids = [model["id"] for model in get("/v1/models").json()["data"]]
    assert ids == ["m", "m:lowest_latency", "m:weighted:2"], "a preset of a disabled strategy is not listed"
    for model in ids:
        assert get(f"/v1/models/{model}").json()["id"] == model
        assert ask(server, key, model).headers["x-btvep-model"] == "m"
    assert get("/v1/models/m:uids:1").status == 404


def test_weighted_asks_everybody_in_turn_when_miners_fail(server, miners, new_key):
    async def refuse(call):
        await call.json(500, {"error": {"message": "no"}})
    key_id, key = new_key("--credits", "100")
    scripts = [miner.script for miner in miners]
    for miner in miners[1:]:
        miner.script = refuse
    try:
        for _ in range(5):
            assert ask(server, key, strategy="weighted:4").headers["x-btvep-uid"] == str(LEADER)
        assert float(server.settled(key_id)["credits"]) == 95
    finally:
        for miner, script in zip(miners, scripts):
            miner.script = script


def test_they_say_why_a_miner_was_passed_over(server, new_key):
    _, key = new_key("--credits", "100", "--explain", "true")
    answer = ask(server, key, strategy="lowest_latency:1", headers={"x-btvep-explain": "1"})
    verdicts = [c["verdict"] for c in answer.json()["validator"]["explain"]["candidates"]]
    assert verdicts == ["asked_first", "not_drawn", "not_drawn", "not_drawn"]
