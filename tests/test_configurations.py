"""Every file in `conf/` is served from, and the first minute is as the README says."""
import json
import re
import subprocess
import tomllib

import pytest

from harness import raw
from harness.config import neurons
from harness.paths import BINARY, ROOT
from harness.scripted import Call
from harness.server import CommandFailed

MNEMONIC = "legal winner thank year wave sausage worth useful legal winner thank yellow"
FILES = sorted(ROOT.glob("conf/*.toml"))


def references(value):
    """Every `env:NAME` in a configuration."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [name for inner in value for name in references(inner)]
    return [value[4:]] if isinstance(value, str) and value.startswith("env:") else []


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def dev(serve, state):
    (state / "foreign file").write_text("kept")
    return serve(file=ROOT / "conf" / "dev.toml", sets=[f"state.path={state}"])


@pytest.fixture(scope="module")
def demo_key(dev, state):
    file = state / "demo.key"
    assert file.stat().st_mode & 0o777 == 0o600
    return file.read_text().strip()


def test_no_configuration_was_forgotten():
    assert {path.name for path in FILES} == {"dev.toml", "btvep.toml", "neurons.example.toml"}


def test_the_first_minute(dev, state, demo_key):
    """It prints the address, the demo key once, and a curl line that works when pasted."""
    printed = dev.printed() + dev.errors()
    assert printed.count(demo_key) >= 1
    assert dev.public in printed
    line = re.search(r"^\s*(curl .*(?:\\\n.*)*)", printed, re.M).group(1)
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "echo:" in done.stdout, done.stdout
    assert (state / "foreign file").read_text() == "kept"


def test_the_demo_key_is_shown_once(serve, dev, state, demo_key):
    before = len(dev.printed() + dev.errors())
    assert dev.stop() == 0
    dev.start()
    assert demo_key not in (dev.printed() + dev.errors())[before:]
    assert (state / "demo.key").read_text().strip() == demo_key


def test_the_devnet_is_as_promised(dev, demo_key):
    miners = dev.cli("miners")
    assert len(miners) == 16
    assert set(miners[0]) == {"uid", "hotkey", "coldkey", "axon", "incentive", "stake", "validator_permit", "active"}
    model = raw.request(dev.public, "GET", "/v1/models", raw.bearer(demo_key)).json()["data"][0]["id"]
    answer = raw.chat(dev.public, demo_key, "hi", model=model, temperature=0.5, top_k=7)
    assert answer.json()["choices"][0]["message"]["content"] == "echo:hi"
    assert answer.headers["x-btvep-credits-charged"] == "1"
    best = raw.chat(dev.public, demo_key, "hi", model=model, top_n=3, respond_on_first_success=False).json()
    assert [choice["message"]["content"] for choice in best["choices"]] == ["echo:hi"] * 3
    with raw.EventStream(dev.public, demo_key, "one two", model=model) as stream:
        assert raw.text_of(stream.events()) == "echo:one two"
    assert raw.chat(dev.public, demo_key, "hi", path="/chat").json()["choices"][0]["uid"] >= 0


def test_the_devnet_s_rows_hold_the_text(dev, demo_key):
    response = raw.chat(dev.public, demo_key, "a row of mine", path="/chat")
    assert "a row of mine" in json.dumps(dev.row(response.headers["x-request-id"]))


def test_health_and_metrics(dev):
    for address in (dev.public, dev.admin):
        assert raw.request(address, "GET", "/livez").status == 200
        assert raw.request(address, "GET", "/readyz").status == 200
    assert "btvep" in dev.metrics()
    assert raw.request(dev.public, "GET", "/metrics").status == 404


def test_production(serve, stage, tmp_path_factory):
    """With its reference resolved, its store moved, and a miner of ours in the file of neurons."""
    file = ROOT / "conf" / "btvep.toml"
    folder = tmp_path_factory.mktemp("production")
    config = tomllib.loads(file.read_text())
    written = neurons(folder / "neurons.toml", [stage.miner(Call.echo)])
    server = serve(file=file, env=dict.fromkeys(references(config), MNEMONIC), sets=[
        f"state.path={folder / 'state'}", f"subnet.0.metagraph.path={written}", "subnet.0.addresses=any"])
    key = server.create_key("--name", "first", "--credits", "10")[1]
    models = raw.request(server.public, "GET", "/v1/models", raw.bearer(key)).json()["data"]
    assert [model["id"] for model in models] == [model["id"] for model in config["model"]]
    answer = raw.chat(server.public, key, "in production", model=config["model"][0]["id"])
    assert answer.json()["choices"][0]["message"]["content"] == "echo:in production"
    assert answer.headers["x-btvep-credits-remaining"] == "9"
    row = server.row(answer.headers["x-request-id"])
    assert "in production" not in json.dumps(row)


def test_production_with_the_neurons_it_comes_with(serve, tmp_path_factory):
    file = ROOT / "conf" / "btvep.toml"
    env = dict.fromkeys(references(tomllib.loads(file.read_text())), MNEMONIC)
    server = serve(file=file, env=env, sets=[f"state.path={tmp_path_factory.mktemp('state')}"])
    written = tomllib.loads((ROOT / "conf" / "neurons.example.toml").read_text())["neuron"]
    assert [miner["hotkey"] for miner in server.cli("miners")] == [neuron["hotkey"] for neuron in written]


def check(text, tmp_path, *sets):
    file = tmp_path / "btvep.toml"
    file.write_text(text)
    return subprocess.run([str(BINARY), "config", "check", "--config", str(file), *sets], capture_output=True,
                          text=True, timeout=60, check=False)


@pytest.mark.parametrize(("change", "says"), [
    ("[listen]\npublik = \"127.0.0.1:0\"", ["btvep.toml:2:", "publik", "public"]),
    ("[filters.rate_limitt]", ["rate_limitt", "rate_limit"]),
    ("[validator]\nhotkey = { mnemonic = \"legal winner thank\" }", ["env:NAME", "file:PATH"]),
])
def test_what_is_wrong_is_told_with_its_place(change, says, tmp_path):
    text = f'{change}\n[state]\npath = "state"\n[[upstream]]\nname = "u"\nbase_url = "http://127.0.0.1:1/v1"\n' \
           '[[model]]\nid = "m"\nupstream = "u"\n'
    done = check(text, tmp_path)
    assert done.returncode != 0
    for word in says:
        assert word in done.stderr, done.stderr
    assert "legal winner" not in done.stderr


def test_globals_are_accepted_behind_any_subcommand(dev):
    for argv in (["key", "list"], ["ratelimit", "list"], ["logs"], ["config", "get"], ["config", "check"], ["miners"]):
        done = dev.run(*argv, "--json")
        json.loads(done.stdout)


def test_failures_are_told_by_the_exit_code(dev):
    for argv in (["key", "show", "AAAAAAAAAAAA"], ["key", "show", "?"], ["config", "get", "no.such.key"]):
        with pytest.raises(CommandFailed) as caught:
            dev.run(*argv)
        assert caught.value.stderr
