"""The configuration is changed while the server serves: all of a new one, or all of the old one."""
import os
import signal
import ssl
import subprocess

import pytest

from harness import config, raw
from harness.deadline import until
from harness.scripted import Call, stream_as_told
from harness.server import now
from harness.steady import Steady
from harness.unix import operation


def settings(miner, price="1", **more):
    """What `serve` writes for `with_upstream`, to be written again with changes."""
    return {**config.with_upstream(miner.url, price=price, **more), "state": {"path": "state"}}


def put(file, text):
    """Puts a text in a file's place, as editors do."""
    beside = file.with_name(file.name + ".tmp")
    beside.write_text(text)
    os.replace(beside, file)


def save(server, values):
    put(server.file, "".join(f"{name} = {config.toml(value)}\n" for name, value in values.items()))


def ask(server, key):
    """The hash of the configuration that answered, and what it charged."""
    answer = raw.chat(server.public, key, model="m")
    assert answer.status == 200, answer
    return answer.headers["x-btvep-config"], answer.headers["x-btvep-credits-charged"]


def status(server):
    return operation(server, "GET", "/v1/config/status")[1]


def becomes(server, **wanted):
    """Waits until the status is so, and returns it."""
    def so():
        found = status(server)
        return found if all(found[name] == value for name, value in wanted.items()) else None
    return until(so, f"the status {wanted}, not {status(server)}")


def charges(server, key, price):
    until(lambda: ask(server, key)[1] == price, f"the price {price}")


@pytest.fixture(scope="module")
def miner(stage):
    return stage.miner(Call.echo)


@pytest.fixture(scope="module")
def server(serve, miner):
    return serve(config.with_upstream(miner.url))


@pytest.fixture(scope="module")
def key(server):
    return server.create_key("--name", "reload")[1]


@pytest.fixture(autouse=True)
def fresh(request):
    """Each test on the common server begins with the same configuration in force."""
    if "key" in request.fixturenames and "server" in request.fixturenames:
        server, miner = request.getfixturevalue("server"), request.getfixturevalue("miner")
        save(server, settings(miner))
        assert operation(server, "POST", "/v1/config/reload")[0] == 200


# What is noticed.

def test_a_file_is_followed_that_is_renamed_into_place(server, key, miner):
    before = status(server)
    save(server, settings(miner, price="2"))
    charges(server, key, "2")
    after = becomes(server, trigger="files", is_current=True)
    assert after["changed"] == [{"path": "model.0.price", "before": "1", "after": "2"}] and after["refused"] is None
    assert after["hash"] != before["hash"] and ask(server, key)[0] == after["hash"]


def test_a_file_is_followed_whose_old_version_is_moved_aside(server, key, miner):
    text = server.file.read_text().replace('price = "1"', 'price = "3"')
    os.replace(server.file, server.file.with_name("btvep.toml~"))
    server.file.write_text(text)
    charges(server, key, "3")


def test_a_file_is_followed_that_is_written_in_place(server, key, miner):
    config.write(server.file, settings(miner, price="4"))
    charges(server, key, "4")


def test_a_row_names_its_configuration(server, key):
    answer = raw.chat(server.public, key, model="m")
    assert server.row(answer.headers["x-request-id"])["config"] == answer.headers["x-btvep-config"]


def test_kubernetes_swaps_a_symlink(serve, miner, tmp_path):
    mount = tmp_path / "mount"

    def version(name, price):
        folder = mount / name
        folder.mkdir(parents=True)
        config.write(folder / "btvep.toml", {**settings(miner, price=price), "state": {"path": str(tmp_path / "state")}})
        (mount / "..data_tmp").symlink_to(name)
        os.replace(mount / "..data_tmp", mount / "..data")

    version("..2026_1", "1")
    (mount / "btvep.toml").symlink_to("..data/btvep.toml")
    server = serve(file=mount / "btvep.toml")
    key = server.create_key("--name", "mounted")[1]
    for n, price in [(2, "2"), (3, "3")]:
        version(f"..2026_{n}", price)
        charges(server, key, price)


def test_changed_neurons_are_a_changed_configuration(serve, miner, stage):
    values = settings(miner, subnet=[config.subnet("neurons.toml", {"kind": "btauth"})])
    server = serve(values, prepare=lambda folder: config.neurons(folder / "neurons.toml", [miner]))
    first = status(server)["hash"]
    config.neurons(server.folder / "neurons.toml", [miner, stage.miner()])
    found = until(lambda: (s := status(server))["hash"] != first and s, "another hash")
    assert [change["path"].endswith("neurons.toml") for change in found["changed"]] == [True]
    assert len(server.cli("miners")) == 2
    server.file.with_name("neurons.toml").write_text("[[neuron]]\nuid = 1\n")
    refused = becomes(server, is_current=False)["refused"]["reason"]
    assert "neurons.toml:1: neuron.0.hotkey: is missing" in refused
    assert len(server.cli("miners")) == 2


def test_without_events_a_look_from_time_to_time_is_enough(serve, miner):
    """A folder that is moved away with all its watches: nothing tells of what then stands in its place."""
    values = settings(miner, reload={"poll": "100ms"})
    server = serve(values)
    key = server.create_key("--name", "polled")[1]
    inside = server.folder / "inside"
    inside.mkdir()
    config.write(inside / "real.toml", settings(miner, price="2", reload={"poll": "100ms"}))
    server.file.unlink()
    server.file.symlink_to("inside/real.toml")
    charges(server, key, "2")
    inside.rename(server.folder / "away")
    becomes(server, is_current=False)
    inside.mkdir()
    config.write(inside / "real.toml", settings(miner, price="3", reload={"poll": "100ms"}))
    charges(server, key, "3")


def test_a_storm_of_hangups_ends_with_the_newest(serve, miner):
    server = serve(config.with_upstream(miner.url, reload={"watch": False}))
    key = server.create_key("--name", "storm")[1]
    for n in range(200):
        if n % 20 == 19:
            save(server, settings(miner, price=str(n), reload={"watch": False}))
        server.process.send_signal(signal.SIGHUP)
    charges(server, key, "199")
    assert server.alive() and becomes(server, trigger="sighup", is_current=True)["refused_count"] == 0


# What is refused.

def test_a_deleted_file_leaves_what_serves(server, key, miner):
    text = server.file.read_text()
    serving = ask(server, key)
    server.file.unlink()
    becomes(server, is_current=False)
    assert ask(server, key) == serving
    # The command line finds the server nevertheless.
    told = server.cli("config", "status")
    assert told["hash"] == serving[0] and "btvep.toml: cannot be read" in told["refused"]["reason"]
    server.file.write_text(text)
    assert becomes(server, is_current=True)["hash"] == serving[0]


def test_half_a_file_leaves_what_serves(server, key, miner):
    serving = ask(server, key)
    save_text = server.file.read_text().replace('price = "1"', 'price = "5"')
    put(server.file, save_text[:save_text.index("price")])
    refused = becomes(server, is_current=False)["refused"]
    line = 1 + save_text[:save_text.index("price")].count("\n")
    assert f"btvep.toml:{line}: " in refused["reason"] and refused["trigger"] == "files"
    assert ask(server, key) == serving
    assert f"btvep.toml:{line}: " in server.errors() and "configuration refused" in server.errors()
    assert server.run("config", "status").stdout.count("the file was refused") == 1
    put(server.file, save_text)
    charges(server, key, "5")


@pytest.mark.parametrize(("values", "reason"), [
    ({"modle": []}, "modle: unknown key `modle`; did you mean `model`?"),
    ({"limits": {"body_bytes": 0}}, "limits.body_bytes: must be at least 1"),
    ({"log": {"level": "loud=x"}}, "log.level: "),
    ({"filters": {"moderation": {"key": "env:NOT_THERE"}}}, "`NOT_THERE` is not set"),
    ({"listen": {"tls": {"cert": "gone.pem", "key": "gone.pem"}}}, None)])
def test_what_is_wrong_is_told_and_changes_nothing(server, key, miner, values, reason):
    serving = ask(server, key)
    save(server, {**settings(miner, price="7"), **values})
    code, told = operation(server, "POST", "/v1/config/reload")
    if reason is None:
        # TLS cannot be switched on while serving, so its files are not looked at.
        assert (code, told["needs_restart"]) == (200, ["listen.tls.cert", "listen.tls.key"])
        return
    assert code == 409 and reason in told["error"] and "btvep.toml" in told["error"]
    assert ask(server, key) == serving
    assert status(server)["is_current"] is False


# What follows, and what waits.

def test_set_is_applied_again(serve, miner):
    server = serve(config.with_upstream(miner.url), sets=["model.0.price=9"])
    key = server.create_key("--name", "set")[1]
    save(server, {**settings(miner, price="2"), "limits": {"body_bytes": 300}})
    until(lambda: status(server)["changed"] == [{"path": "limits.body_bytes", "before": "1048576", "after": "300"}],
          "the change")
    assert ask(server, key)[1] == "9"


def test_what_needs_a_restart_is_told_and_all_else_follows(server, key, miner):
    values = settings(miner, price="6", listen={"threads": 7, "attribution": False}, log={"format": "json"})
    values["state"]["cache_bytes"] = 1 << 24 | 1
    save(server, values)
    waits = ["listen.threads", "log.format", "state.cache_bytes"]
    found = until(lambda: (s := status(server))["needs_restart"] == waits and s, "what needs a restart")
    assert [change["path"] for change in found["changed"]] == ["listen.attribution", "model.0.price"]
    assert "needs a restart" in server.errors() and "listen.threads, log.format" in server.errors()
    answer = raw.chat(server.public, key, model="m")
    assert answer.status == 200 and "x-btvep-config" not in answer.headers
    save(server, settings(miner))
    becomes(server, needs_restart=[])


def test_limits_of_the_gateway_follow(server, key, miner):
    save(server, settings(miner, limits={"body_bytes": 300}, listen={"trusted_proxies": ["127.0.0.0/8"]},
                          log={"level": "debug"}))
    until(lambda: raw.chat(server.public, key, text="x" * 400, model="m").status == 413, "the smaller bound")
    answer = raw.chat(server.public, key, model="m", headers={"x-forwarded-for": "203.0.113.9"})
    assert server.row(answer.headers["x-request-id"])["client"] == "203.0.113.9"
    until(lambda: "DEBUG" in server.errors(), "a line of level debug")


def test_a_raised_limit_grants_no_burst(server, miner, key):
    other = server.create_key("--name", "limited")[1]

    def limited(times):
        rate_limit = {"default": [{"times": times, "seconds": 3600}]}
        save(server, settings(miner, filters={"rate_limit": rate_limit}))
        assert operation(server, "POST", "/v1/config/reload")[0] == 200
        return [raw.chat(server.public, other, model="m").status for _ in range(3)]

    assert limited(2) == [200, 200, 429]
    assert limited(3) == [200, 429, 429]


def test_models_come_and_go(server, key, miner):
    more = settings(miner)
    more["model"].append({"id": "second", "upstream": "up"})
    save(server, more)
    until(lambda: raw.chat(server.public, key, model="second").status == 200, "the second model")
    server.create_key("--name", "second", "--models", "second")
    save(server, settings(miner))
    until(lambda: raw.chat(server.public, key, model="second").status == 404, "the end of the second model")
    assert "no model `second`" in server.run("key", "create", "--models", "second", check=False).stderr


def certificate(folder):
    folder.mkdir(exist_ok=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "1", "-subj", "/CN=localhost"],
                   check=True, capture_output=True, timeout=60)
    return (folder / "cert.pem").read_text()


def test_the_next_handshake_shows_a_new_certificate(serve, miner, tmp_path):
    first = certificate(tmp_path / "tls")
    server = serve({**config.with_upstream(miner.url), "listen": {
        "tls": {"cert": tmp_path / "tls/cert.pem", "key": tmp_path / "tls/key.pem"}}})
    host, port = server.public.split(":")

    def shown():
        return ssl.get_server_certificate((host, int(port)), timeout=20).strip()

    def swap(name):
        os.replace(tmp_path / "new" / name, tmp_path / "tls" / name)

    assert shown() == first.strip()
    second = certificate(tmp_path / "new")
    swap("cert.pem")
    refused = becomes(server, is_current=False)["refused"]["reason"]
    assert "listen.tls" in refused and "is not the key of the certificate" in refused
    assert shown() == first.strip()
    swap("key.pem")
    until(lambda: shown() == second.strip(), "the new certificate")
    changed = becomes(server, is_current=True)["changed"]
    assert [change["path"].endswith("cert.pem") for change in changed] == [True]


# The command line.

def test_rollback_puts_back_what_served(serve, miner):
    server = serve(config.with_upstream(miner.url))
    key = server.create_key("--name", "rollback")[1]
    first = server.file.read_text()
    for price in ("2", "-3", "4"):
        save(server, settings(miner, price=price))
        server.run("config", "reload", check=price != "-3")
    newest_first = server.cli("config", "history")
    assert [version["number"] for version in newest_first] == [3, 2, 1], "a refused one never enters"
    assert server.cli("config", "rollback", 1)["number"] == 1
    assert ask(server, key)[1] == "1" and server.file.read_text() == first
    assert server.cli("config", "history")[0]["number"] == 4
    assert "no configuration number 99" in server.run("config", "rollback", 99, check=False).stderr
    assert status(server)["trigger"] == "rollback"
    # Also when the file is gone.
    server.file.unlink()
    server.run("config", "rollback", 2)
    assert ask(server, key)[1] == "2"


def test_history_is_bounded_and_survives_a_restart(serve, miner):
    server = serve(config.with_upstream(miner.url, reload={"watch": False}))
    for price in range(2, 30):
        save(server, settings(miner, price=str(price), reload={"watch": False}))
        assert operation(server, "POST", "/v1/config/reload")[0] == 200
    kept = [version["number"] for version in server.cli("config", "history")]
    assert kept == list(range(29, 9, -1))
    folder = server.folder / "state" / "config-history"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert server.stop() == 0
    assert [version["number"] for version in server.cli("config", "history")] == kept, "read from a stopped store"
    server.start()
    assert [version["number"] for version in server.cli("config", "history")] == kept


def test_diff_tells_what_would_change(server, key, miner, tmp_path):
    file = tmp_path / "new.toml"
    config.write(file, settings(miner, price="8", limits={"messages": 5}))
    assert server.cli("config", "diff", file) == [
        {"path": "limits.messages", "before": "1024", "after": "5"},
        {"path": "model.0.price", "before": "1", "after": "8"}]
    config.write(file, settings(miner, price="-8"))
    refused = server.run("config", "diff", file, check=False)
    assert refused.returncode == 1 and "new.toml:4: model.0.price: may not be negative" in refused.stderr
    assert ask(server, key)[1] == "1"


def test_commands_that_write_the_file_take_effect_at_once(server, key, miner):
    other = server.create_key("--name", "by command")[1]
    done = server.run("config", "set", "model.0.price", "3")
    assert "serves by it now" in done.stderr and ask(server, other)[1] == "3"
    server.run("ratelimit", "add", 1, 3600)
    assert [raw.chat(server.public, other, model="m").status for _ in range(2)] == [200, 429]


def test_metrics_count_reloads(server, key, miner):
    def value(name):
        return next(float(line.split()[1]) for line in server.metrics().splitlines() if line.startswith(name))

    accepted = value('btvep_config_reloads_total{outcome="accepted"}')
    refused = value('btvep_config_reloads_total{outcome="refused"}')
    since = value("btvep_config_last_success_timestamp_seconds")
    operation(server, "POST", "/v1/config/reload")
    save(server, settings(miner, price="-1"))
    becomes(server, is_current=False)
    assert value('btvep_config_reloads_total{outcome="accepted"}') == accepted + 1
    assert value('btvep_config_reloads_total{outcome="refused"}') == refused + 1
    assert value("btvep_config_last_success_timestamp_seconds") > since
    infos = [line for line in server.metrics().splitlines() if line.startswith("btvep_config_info{")]
    assert infos == [f'btvep_config_info{{hash="{status(server)["hash"]}"}} 1']


# Under load.

def test_a_stream_is_charged_by_the_prices_it_began_with(serve, stage):
    """Twenty seconds and ten reloads long."""
    told = stage.miner(stream_as_told)
    server = serve(config.with_upstream(told.url, price="3", reload={"watch": False}))
    key_id, key = server.create_key("--name", "stream", "--credits", "1000")
    began = now()
    with raw.EventStream(server.public, key, model="m") as stream:
        call = told.next_call()
        call.tell("0 ")
        events = iter(stream)
        first = next(text for text in map(raw.text_of, ([event] for event in events)) if text)
        assert first == "0 "
        for n in range(1, 11):
            save(server, settings(told, price=str(100 + n), reload={"watch": False}))
            assert operation(server, "POST", "/v1/config/reload")[0] == 200
            until(lambda n=n: now() - began > 2.05 * n, "the next two seconds", 30)
            call.tell(f"{n} ")
            assert next(text for text in map(raw.text_of, ([event] for event in events)) if text) == f"{n} "
        call.tell(None)
        rest = list(events)
    assert now() - began > 20 and rest[-1] == "[DONE]"
    validator = rest[-2]["validator"]
    assert validator["credits_charged"] == 3 and validator["config"] == stream.headers["x-btvep-config"]
    assert server.credits(key_id) == 997
    row = server.row(stream.headers["x-request-id"])
    assert row["config"] == stream.headers["x-btvep-config"] != status(server)["hash"]


REQUESTS = 10_000


def turned(n):
    """The n-th of many configurations, each with other filters, prices, limits and a new client of moderation."""
    return {**config.base(reload={"watch": False}),
            "state": {"path": "state"},
            "devnet": {"miners": 4, "behaviours": ["echo"]},
            "subnet": [{"name": "sn", "netuid": 1, "protocol": {"kind": "btauth"}, "addresses": "any", "lanes": 64,
                        "metagraph": {"source": "devnet"}},
                       config.subnet("neurons.toml", {"kind": "btauth"}, name="many")],
            "model": [{"id": "m", "subnet": "sn", "price": f"0.{n + 1:06}"}, {"id": "many", "subnet": "many"}],
            "limits": {"messages": 1000 + n},
            "filters": {"rate_limit": {"concurrency": 100 + n, "attempts": {"times": 1_000_000, "seconds": 1 + n}},
                        "moderation": {"base_url": "http://127.0.0.1:9", "timeout": f"{n + 1}s"}}}


def rss(server):
    """In MB."""
    lines = open(f"/proc/{server.process.pid}/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def reload_in_turn(server, turns, is_seen):
    """Reloads, every fifth time an invalid one; each valid one has answered a request before the next. Returns the
    hashes."""
    hashes = set()
    for n in turns:
        values = turned(n)
        if n % 5 == 4:
            values["limits"]["messages"] = 0
        save(server, values)
        code, told = operation(server, "POST", "/v1/config/reload")
        assert code == (409 if n % 5 == 4 else 200), told
        if code == 200:
            hashes.add(told["hash"])
            until(lambda: is_seen(told["hash"]), f"an answer by {told['hash']}", 60)
    return hashes


def test_no_request_fails_while_the_configuration_turns(serve, stage):
    neurons = [stage.miner(stream_as_told)] * 1024
    server = serve(turned(0), prepare=lambda folder: config.neurons(folder / "neurons.toml", neurons))
    key = server.create_key("--name", "load")[1]
    with Steady(server.public, key, width=16) as load:
        hashes = reload_in_turn(server, range(1, 101), load.hashes.__contains__)
        until(lambda: load.answered >= REQUESTS, f"{REQUESTS} answers", 120)
    assert load.failed == []
    assert len(hashes) == 80 and hashes <= load.hashes
    assert load.streamed > REQUESTS // 10
    found = status(server)
    assert (found["accepted_count"], found["refused_count"]) == (81, 20)
    after_100 = rss(server)
    # Without the load, whose store and log grow by themselves.
    reload_in_turn(server, range(101, 201), lambda hash: ask(server, key)[0] == hash)
    after_200 = rss(server)
    print(f"\n{load.answered} answers; VmRSS {after_100:.1f} MB after 100 reloads, {after_200:.1f} MB after 200")
    assert after_200 <= after_100 + 2


def test_a_log_beside_the_configuration_does_not_feed_itself(serve, miner):
    """What is said of a file that changed would change the log, of which something would be said."""
    server = serve(settings(miner, log={"level": "trace"}))
    sizes = []

    def is_still():
        sizes.append(server.err.stat().st_size)
        return len(sizes) >= 50 and len(set(sizes[-50:])) == 1

    until(is_still, "the end of the log")
