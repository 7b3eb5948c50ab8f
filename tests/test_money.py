"""Credits are never overspent, however many ask at the same moment."""
import threading

import pytest

from harness import config, scripted
from harness.load import at_once
from harness.scripted import after

MINERS = 10
CREDITS = 100


@pytest.fixture(scope="module")
def miners(stage):
    """Ten miners that take 200 ms; three of ten calls to each fail."""
    return [stage.miner(scripted.failing(30, after(0.2)) if n % 2 else after(0.2, scripted.failing(30)))
            for n in range(MINERS)]


@pytest.fixture(scope="module")
def server(serve, miners, tmp_path_factory):
    file = config.neurons(tmp_path_factory.mktemp("neurons") / "neurons.toml", miners)
    return serve(config.base(
        subnet=[config.subnet(file, {"kind": "btauth"}, lanes=1024)],
        model=[{"id": "m", "subnet": "sn1", "price": "1"}]))


class Watch:
    """Looks at an account again and again while something happens."""

    def __init__(self, server, key_id):
        self.server, self.key_id, self.seen, self.error = server, key_id, [], None
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._look)

    def _look(self):
        try:
            while not self.done.is_set():
                account = self.server.account(self.key_id)
                self.seen.append((float(account["credits"]), float(account["held"])))
        except Exception as error:  # noqa: BLE001 - told to the test below
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        assert self.error is None, self.error


def prompts(count, **fields):
    return [{"model": "m", "messages": [{"role": "user", "content": f"prompt {n}"}], **fields} for n in range(count)]


def test_500_at_once_on_credit_for_100(server, new_key):
    """Each asks one miner after the other, so that a failure costs time and no credit."""
    key_id, key = new_key("--credits", CREDITS)
    with Watch(server, key_id) as watch:
        results = at_once(server.public, key, prompts(500, top_n=MINERS, in_parallel=1))
    assert not [result for result in results if isinstance(result, BaseException)]
    statuses = sorted(result.status for result in results)
    assert statuses == [200] * CREDITS + [429] * (500 - CREDITS)
    assert {result.json()["error"]["code"] for result in results if result.status == 429} == {"insufficient_quota"}
    account = server.settled(key_id)
    assert float(account["credits"]) == 0
    assert account["api_request_count"] == CREDITS
    check_never_more(watch.seen)
    for result in results:
        if result.status == 200:
            assert result.json()["choices"][0]["message"]["content"] == f"echo:prompt {result.index}"
            assert result.headers["x-btvep-credits-charged"] == "1"


def check_never_more(seen):
    assert len(seen) >= 2, "the account was not looked at meanwhile"
    for credits, held in seen:
        assert credits >= 0
        assert held >= 0
        settled = CREDITS - credits
        assert settled + held <= CREDITS, (credits, held)


def test_each_success_of_wait_for_all_costs(server, new_key):
    """A hold is for the most choices the plan can deliver; what failed is given back."""
    key_id, key = new_key("--credits", CREDITS)
    with Watch(server, key_id) as watch:
        results = at_once(server.public, key, prompts(40, top_n=MINERS, respond_on_first_success=False))
    check_never_more(watch.seen)
    choices = sum(len(result.json()["choices"]) for result in results if result.status == 200)
    refused = [result for result in results if result.status != 200]
    assert choices > 0 and refused
    assert {result.json()["error"]["code"] for result in refused} == {"insufficient_quota"}
    assert float(server.settled(key_id)["credits"]) == CREDITS - choices


def test_credit_comes_and_goes_while_it_is_used(server, new_key):
    key_id, key = new_key("--credits", 1)
    assert at_once(server.public, key, prompts(1, top_n=MINERS, in_parallel=1))[0].status == 200
    server.cli("key", "edit", key_id, "--credits", "2.5")
    results = at_once(server.public, key, prompts(5, top_n=MINERS, in_parallel=1))
    assert sorted(result.status for result in results) == [200, 200, 429, 429, 429]
    assert float(server.settled(key_id)["credits"]) == 0.5


def test_an_unlimited_key_pays_nothing(server, new_key):
    key_id, key = new_key("--name", "unlimited")
    assert at_once(server.public, key, prompts(1, uids=[0, 1, 2, 3], in_parallel=1))[0].status == 200
    account = server.settled(key_id)
    assert account["credits"] is None
