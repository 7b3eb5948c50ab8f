"""Plans over several miners: one beside a slow one, and those that must agree."""
import json
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


async def lie(call):
    """Another answer than the honest, and than any other liar's."""
    await call.answer(f"lie {call.miner.index}: {call.prompt}")


async def shout(call):
    """The honest answer, written otherwise."""
    await call.answer(f"  ECHO:{call.prompt.upper()}\n")


async def judge(call):
    await call.answer(json.dumps({"verdict": call.prompt, "why": call.miner.index}))


@pytest.fixture(scope="module")
def five(stage):
    """Two of five lie, the best of them."""
    return [stage.miner(script) for script in (lie, lie, Call.echo, shout, Call.echo)]


@pytest.fixture(scope="module")
def voting(serve, five, tmp_path_factory):
    return serve(settings(miners_file(tmp_path_factory, five)))


def test_with_two_of_five_lying_three_of_five_are_right(voting):
    prompts = 50
    key_id, key = voting.create_key("--credits", "1000")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: raw.chat(voting.public, key, f"p{n}", model="m:quorum=3/5"), range(prompts)))
    for n, answer in enumerate(answers):
        body = answer.json()
        assert answer.status == 200, body
        assert [choice["message"]["content"].strip().lower() for choice in body["choices"]] == [f"echo:p{n}"]
        agreement = body["validator"]["agreement"]
        assert (agreement["asked"], agreement["agreed"], set(agreement["uids"])) == (5, 3, {2, 3, 4})
        assert body["validator"]["credits_charged"] == PRICE
    assert voting.settled(key_id)["credits"] == 1000 - PRICE * prompts


def test_an_agreed_answer_is_a_stream_for_who_wants_one(voting):
    key_id, key = voting.create_key("--credits", "10")
    with raw.EventStream(voting.public, key, "hi", model="m", strategy="quorum") as stream:
        events = stream.events()
    assert (raw.text_of(events).strip().lower(), events[-1]) == ("echo:hi", "[DONE]")
    assert events[-2]["validator"]["agreement"]["agreed"] == 3
    assert voting.settled(key_id)["credits"] == 10 - PRICE


def test_without_agreement_there_is_no_answer_and_no_charge(voting):
    key_id, key = voting.create_key("--credits", "10", "--explain", "true")
    answer = raw.chat(voting.public, key, model="m:quorum=4/5", headers={"x-btvep-explain": "1"})
    assert (answer.status, answer.json()["error"]["code"]) == (502, "no_agreement")
    assert answer.json()["error"]["message"].endswith("4 must")
    row = voting.row(answer.headers["x-request-id"])
    assert (row["outcome"], row["charged"], len(row["attempts"])) == ("no_agreement", 0, 5)
    assert voting.settled(key_id)["credits"] == 10


def test_more_than_a_key_may_ask_are_refused(voting):
    _, key = voting.create_key("--max-top-n", "2")
    named = raw.chat(voting.public, key, model="m:quorum=2/3")
    assert (named.status, named.json()["error"]["code"]) == (400, "invalid_selection")
    usual = raw.chat(voting.public, key, model="m:quorum")
    assert (usual.status, usual.json()["error"]["code"]) == (503, "no_miner_available")


def test_enough_that_agree_end_the_others(serve, stage, tmp_path_factory):
    miners = [stage.miner(script) for script in (scripted.hang, judge, judge)]
    server = serve(settings(miners_file(tmp_path_factory, miners),
                            quorum={"agree": 2, "miners": 3, "by": "field:verdict"}))
    _, key = server.create_key("--credits", "10", "--explain", "true")
    answer = raw.chat(server.public, key, "guilty", model="m:quorum", headers={"x-btvep-explain": "1"})
    assert json.loads(answer.json()["choices"][0]["message"]["content"])["verdict"] == "guilty"
    miners[0].next_call().wait_gone()
    explain = answer.json()["validator"]["explain"]
    assert {(a["uid"], a["outcome"]) for a in explain["attempts"]} == {(0, "cancelled"), (1, "success"), (2, "success")}
    assert (explain["held"], explain["charged"]) == (PRICE, PRICE)
