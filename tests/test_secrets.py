"""Secrets that are planted everywhere come out nowhere."""
import base64

import pytest

from harness import config, raw
from harness.scripted import Call

MNEMONIC = "legal winner thank year wave sausage worth useful legal winner thank yellow"
MODERATION_KEY = "sk-moderation-canary-5b1f"
UPSTREAM_KEY = "sk-upstream-canary-93aa"
QUERY_KEY = "btvep_queryCanary0_inTheAddress7712"
CONTROL = "control-word-that-must-be-found"


@pytest.fixture(scope="module")
def moderator(stage):
    """An endpoint that fails, so that its errors are written about."""
    async def script(call):
        await call.json(401, {"error": {"message": f"bad key {MODERATION_KEY}"}})
    return stage.miner(script)


@pytest.fixture(scope="module")
def tattler(stage):
    """A miner that sends back what it was sent."""
    async def script(call):
        if "fail" in str(call.body):
            return await call.json(500, {"error": {"message": call.headers.get("authorization", "")}})
        await Call.echo(call)
    return stage.miner(script)


@pytest.fixture(scope="module")
def server(serve, moderator, tattler, tmp_path_factory):
    secret = tmp_path_factory.mktemp("secret") / "mnemonic"
    secret.write_text(MNEMONIC + "\n")
    secret.chmod(0o600)
    file = config.neurons(tmp_path_factory.mktemp("neurons") / "neurons.toml", [tattler])
    settings = config.base(
        log={"level": "trace"},
        filters={"moderation": {"mode": "fail_open", "base_url": moderator.url + "/v1", "key": "env:MODERATION_KEY"},
                 "logging": {"content": "full"}},
        subnet=[config.subnet(file, {"kind": "btauth"})],
        upstream=[{"name": "up", "base_url": f"{tattler.url}/v1", "key": "env:UPSTREAM_KEY"}],
        model=[{"id": "m", "upstream": "up", "price": "1"}, {"id": "mined", "subnet": "sn1", "price": "1"}])
    settings["validator"] = {"hotkey": {"mnemonic": f"file:{secret}"}}
    return serve(settings, env={"MODERATION_KEY": MODERATION_KEY, "UPSTREAM_KEY": UPSTREAM_KEY, "RUST_LOG": "trace"})


@pytest.fixture(scope="module")
def traffic(server):
    """Every way in which a secret passes; returns the keys and all that clients were told."""
    made = [server.create_key("--name", "leaky"), server.create_key("--credits", "1")]
    key, poor = (key for _, key in made)
    told = [
        raw.chat(server.public, key, CONTROL, model="m"),
        raw.chat(server.public, key, CONTROL, model="mined"),
        raw.chat(server.public, key, "fail", model="m"),
        raw.chat(server.public, key, "fail", model="mined"),
        raw.chat(server.public, key, CONTROL, path="/chat"),
        raw.chat(server.public, key, CONTROL, path=f"/v1/chat/completions?api_key={QUERY_KEY}", model="m"),
        raw.chat(server.public, key, CONTROL, path=f"/nowhere?api_key={QUERY_KEY}", model="m"),
        raw.request(server.public, "GET", f"/v1/models?key={QUERY_KEY}", {}),
        raw.request(server.public, "GET", f"/v1/models/{'x' * 100}", raw.bearer(key)),
        raw.request(server.public, "POST", "/v1/chat/completions", raw.bearer(key), b"{"),
        raw.request(server.public, "POST", "/v1/chat/completions", {"authorization": f"Basic {key}"}, b"{}"),
        raw.request(server.public, "POST", "/chat", raw.bearer(key + "x"), {}),
        raw.request(server.public, "GET", "/v1/models", {**raw.bearer(key), "x-huge": key * 2000}),
        raw.chat(server.public, poor, CONTROL, model="m"),
        raw.chat(server.public, poor, CONTROL, model="m"),
    ]
    with raw.EventStream(server.public, key, CONTROL, model="m") as stream:
        told.append(raw.Response(stream.begin().status, stream.headers, str(stream.events()).encode()))
    server.create_key("--name", "made on a running server")
    server.row(told[0].headers["x-request-id"])
    return [key for _, key in made], told


def needles(keys):
    secrets = [*keys, *(key.rsplit("_", 1)[1] for key in keys), QUERY_KEY, MODERATION_KEY, UPSTREAM_KEY, MNEMONIC,
               MNEMONIC[:40]]
    encoded = [base64.b64encode(secret.encode()).decode().rstrip("=")[:-1] for secret in secrets]
    return [needle.encode() for needle in secrets + encoded]


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def found(needle, haystacks):
    return [name for name, content in haystacks.items() if needle in content]


@pytest.fixture(scope="module")
def haystacks(server, traffic):
    """Everything that is written or said, but what the owner's own `key create` printed."""
    stacks = {str(path): path.read_bytes() for path in files(server.folder)}
    stacks["/metrics"] = server.metrics().encode()
    stacks["btvep logs"] = server.run("logs", "--lines", 1000, "--json").stdout.encode()
    stacks["btvep key list"] = server.run("key", "list", "--json").stdout.encode()
    stacks["btvep config get"] = server.run("config", "get", "--json").stdout.encode()
    stacks["btvep config check"] = server.run("config", "check").stdout.encode()
    for n, response in enumerate(traffic[1]):
        stacks[f"answer {n}"] = str(response.headers).encode() + response.body
    return stacks


def test_no_secret_is_found_anywhere(haystacks, traffic):
    leaks = {(needle[:12], name) for needle in needles(traffic[0]) for name in found(needle, haystacks)}
    assert leaks == set()


def test_the_same_search_finds_what_is_there(haystacks, server):
    """A search that finds nothing proves nothing: the control word stands in the rows, on disk and as told."""
    places = found(CONTROL.encode(), haystacks)
    assert "btvep logs" in places
    assert any(place.startswith(str(server.folder)) and "state" in place for place in places), places


def test_what_was_logged_was_really_traced(server):
    assert "TRACE" in server.errors()


def test_files_of_the_store_are_the_owner_s_alone(server):
    for path in files(server.folder / "state"):
        if "pepper" in path.name or path.name.endswith(".key"):
            assert path.stat().st_mode & 0o077 == 0, path
    sockets = [path for path in (server.folder / "state").rglob("admin.sock")]
    assert sockets and sockets[0].stat().st_mode & 0o077 == 0
