"""Plans over several miners: one beside a slow one."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import config, raw, scripted
from harness.scripted import Call

PRICE = 2
LEADER, NEXT, THIRD = range(3)


def miners_file(tmp_path_factory, miners):
    return config.neurons(tmp_path_factory.mktemp("neurons") / "neurons.toml", miners)


def settings(file, **strategies):
    return config.base(strategies=strategies, subnet=[config.subnet(file, {"kind": "btauth"}, lanes=256)],
                       model=[{"id": "m", "subnet": "sn1", "price": PRICE}])


@pytest.fixture(scope="module")
def miners(stage):
    return [stage.miner(scripted.hang), stage.miner(), stage.miner()]


@pytest.fixture(scope="module")
def server(serve, miners, tmp_path_factory):
    return serve(settings(miners_file(tmp_path_factory, miners), hedge={"first_wait": "200ms"}))


def test_a_slow_leader_is_hedged_and_the_loser_is_cancelled_and_free(server, miners, new_key):
    key_id, key = new_key("--credits", "10", "--explain", "true")
    answer = raw.chat(server.public, key, "hi", model="m:hedge", headers={"x-btvep-explain": "1"})
    assert answer.status == 200, answer.body
    miners[LEADER].next_call().wait_gone()
    body = answer.json()
    assert (body["choices"][0]["message"]["content"], body["validator"]["uid"]) == ("echo:hi", NEXT)
    assert (body["validator"]["strategy"], body["validator"]["attempts"]) == ("hedge", 2)
    assert body["validator"]["credits_charged"] == PRICE
    assert server.settled(key_id)["credits"] == 10 - PRICE
    explain = body["validator"]["explain"]
    assert (explain["held"], explain["charged"], explain["strategy"]["hedge_after_ms"]) == (PRICE, PRICE, 200)
    assert {(a["uid"], a["outcome"]) for a in explain["attempts"]} == {(LEADER, "cancelled"), (NEXT, "success")}
    assert [(c["uid"], c["verdict"]) for c in explain["candidates"]] == [
        (LEADER, "asked_first"), (NEXT, "asked"), (THIRD, "not_needed")]


def test_a_stream_is_hedged_before_its_first_token(server, miners, new_key):
    key_id, key = new_key("--credits", "10")
    with raw.EventStream(server.public, key, "a b c", model="m", strategy="hedge") as stream:
        events = stream.events()
    miners[LEADER].next_call().wait_gone()
    assert (raw.text_of(events), events[-1]) == ("echo:a b c", "[DONE]")
    row = server.row(stream.headers["x-request-id"])
    assert (row["charged"], {a["outcome"] for a in row["attempts"]}) == (PRICE, {"cancelled", "success"})
    assert server.settled(key_id)["credits"] == 10 - PRICE


def test_a_key_that_may_ask_one_miner_is_not_hedged(server, miners, new_key):
    _, key = new_key("--max-top-n", "1")
    before = miners[NEXT].count
    answer = raw.chat(server.public, key, model="m:hedge", headers={"x-btvep-timeout-ms": "600"})
    assert (answer.status, answer.json()["error"]["code"]) == (502, "all_miners_failed")
    assert miners[NEXT].count == before


async def sometimes_slow(call):
    await scripted.after(1.0 if call.prompt == "slow" else 0.0)(call)


def test_hedges_stay_within_their_budget(serve, stage, tmp_path_factory):
    leader, beside = stage.miner(sometimes_slow), stage.miner(Call.echo)
    hedge = {"miners": 2, "first_wait": "200ms", "budget_percent": 5}
    server = serve(settings(miners_file(tmp_path_factory, [leader, beside]), hedge=hedge))
    key_id, key = server.create_key("--credits", "1000")
    requests = 200
    with ThreadPoolExecutor(16) as pool:
        texts = ["slow" if n % 3 == 2 else "fast" for n in range(requests)]
        answers = list(pool.map(lambda text: raw.chat(server.public, key, text, model="m:hedge"), texts))
    assert {answer.status for answer in answers} == {200}
    assert [answer.json()["choices"][0]["message"]["content"] for answer in answers] == [f"echo:{t}" for t in texts]
    assert leader.count == requests
    assert 10 <= beside.count <= 10 + requests * 5 // 100, "ten saved, and five in a hundred"
    assert f'btvep_dispatch_hedges_total{{result="sent"}} {beside.count}' in server.metrics()
    assert server.settled(key_id)["credits"] == 1000 - PRICE * requests
