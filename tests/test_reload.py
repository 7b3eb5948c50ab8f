"""The configuration is changed while the server serves: all of a new one, or all of the old one."""
import signal

import pytest

from harness import config, raw
from harness.deadline import until
from harness.scripted import Call


@pytest.fixture(scope="module")
def miner(stage):
    return stage.miner(Call.echo)


def ask(server, key, **fields):
    """The hash of the configuration that answered, and what it charged."""
    answer = raw.chat(server.public, key, model="m", **fields)
    assert answer.status == 200, answer
    return answer.headers["x-btvep-config"], answer.headers["x-btvep-credits-charged"]


def test_a_hangup_takes_the_files_over(serve, miner):
    server = serve(config.with_upstream(miner.url, price="1"))
    key = server.create_key("--name", "hangup")[1]
    first, charged = ask(server, key)
    assert charged == "1"
    config.write(server.file, {**config.with_upstream(miner.url, price="2"), "state": {"path": "state"}})
    server.process.send_signal(signal.SIGHUP)
    until(lambda: ask(server, key)[0] != first, "the new configuration")
    assert ask(server, key)[1] == "2"
