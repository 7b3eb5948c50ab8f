"""`kill -9` of the whole server under load: what was answered is charged, once."""
import threading

import pytest

from harness import config, raw
from harness.scripted import Call, after, stream_as_told
from harness.server import Server

START = 1_000_000
CLIENTS = 24


@pytest.fixture
def crashing(stage, tmp_path):
    """A server of this test's own, which may die."""
    made = Server(tmp_path, config.with_upstream(stage.miner(after(0.01, Call.echo)).url)).start()
    yield made
    if made.alive():
        made.stop()


class Crowd:
    """Clients that ask without a pause until the server is gone."""

    def __init__(self, server, key):
        self.server, self.key = server, key
        self.sent, self.answered, self.ids = 0, 0, set()
        self.lock, self.enough = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def _ask(self):
        while True:
            with self.lock:
                self.sent += 1
            try:
                response = raw.chat(self.server.public, self.key, model="m", seconds=20)
            except (OSError, ValueError, EOFError):
                return
            except Exception:  # noqa: BLE001 - http.client's own for a cut answer
                return
            assert response.status == 200, response.body
            with self.lock:
                self.answered += 1
                self.ids.add(response.headers["x-request-id"])
                if self.answered >= 200:
                    self.enough.set()

    def run_until_killed(self):
        for thread in self.threads:
            thread.start()
        assert self.enough.wait(60), "the server answered too little"
        self.server.kill()
        for thread in self.threads:
            thread.join(30)
        assert len(self.ids) == self.answered


def test_kill_9_under_load(crashing):
    key_id, key = crashing.create_key("--credits", START)
    answered = sent = 0
    for _ in range(4):
        crowd = Crowd(crashing, key)
        crowd.run_until_killed()
        answered, sent = answered + crowd.answered, sent + crowd.sent
        crashing.start()
        account = crashing.account(key_id)
        charged = START - float(account["credits"])
        # Whoever was cut off may or may not have been charged; whoever was answered has been, and nobody twice.
        assert answered <= charged <= sent, (answered, charged, sent)
        assert float(account["held"]) == 0
        # What a crash left open is decided; from here on the books are exact.
        answered, sent = int(charged), int(charged)
    assert raw.chat(crashing.public, key, model="m").status == 200
    assert START - float(crashing.settled(key_id)["credits"]) == answered + 1


def test_a_mark_without_a_closing_is_settled_and_a_hold_without_a_mark_released(stage, tmp_path):
    miner = stage.miner(stream_as_told)
    server = Server(tmp_path, config.with_upstream(miner.url, price="3")).start()
    key_id, key = server.create_key("--credits", 100)
    begun = raw.EventStream(server.public, key, model="m")
    call = miner.next_call()
    call.tell("one ")
    assert any(raw.text_of([event]) == "one " for event in begun)
    silent = raw.EventStream(server.public, key, model="m")
    miner.next_call()
    assert float(server.account(key_id)["held"]) == 6
    server.kill()
    for stream in (begun, silent):
        stream.close()
    for _ in range(2):
        server.start()
        account = server.account(key_id)
        assert (float(account["credits"]), float(account["held"])) == (97, 0)
        server.kill()


def test_sigterm_lets_requests_in_flight_end(stage, tmp_path):
    miner = stage.miner(stream_as_told)
    server = Server(tmp_path, config.with_upstream(miner.url)).start()
    key_id, key = server.create_key("--credits", 10)
    with raw.EventStream(server.public, key, model="m") as stream:
        call = miner.next_call()
        call.tell("one ")
        events = iter(stream)
        assert any(raw.text_of([event]) == "one " for event in events)
        server.process.terminate()
        call.tell("two")
        call.tell(None)
        rest = list(events)
    assert raw.text_of(rest) == "two" and rest[-1] == "[DONE]"
    assert server.ended() == 0
    # The stopped store tells the same.
    assert float(server.account(key_id)["credits"]) == 9
