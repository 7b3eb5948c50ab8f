"""Configurations for the binary, made from Python values."""
import json


def toml(value):
    """Writes one value as TOML on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False)


def write(path, config):
    path.write_text("".join(f"{name} = {toml(value)}\n" for name, value in config.items()))
    return path


def neurons(path, miners):
    """Writes `neurons.toml` from launchers' manifests or scripted miners; incentive falls with the uid."""
    rows = []
    for uid, miner in enumerate(miners):
        if not isinstance(miner, dict):
            miner = {"hotkey": miner.hotkey, "ip": "127.0.0.1", "port": miner.port}
        rows.append({"uid": uid, "hotkey": miner["hotkey"], "axon": f"{miner['ip']}:{miner['port']}",
                     "incentive": max(60_000 - 100 * uid, 0), "stake": 0, "validator_permit": False})
    return write(path, {"neuron": rows})


def subnet(neurons_file, protocol, name="sn1", **more):
    """A subnet whose miners stand in a file and answer on loopback."""
    return {"name": name, "netuid": 1, "protocol": protocol, "addresses": "any",
            "metagraph": {"source": "file", "path": neurons_file}, **more}


def base(**more):
    """What every test's configuration begins with; `listen` and `state` are the harness's."""
    return {"dev": True, "validator": {"hotkey": {"uri": "//RealValidator"}}, **more}


def with_upstream(url, price="1", **more):
    """The smallest useful configuration: one upstream, one model `m`."""
    return base(upstream=[{"name": "up", "base_url": f"{url}/v1"}],
                model=[{"id": "m", "upstream": "up", "price": price}], **more)
