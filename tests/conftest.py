"""Fixtures: peers once per run, servers per test module, scripted miners per test."""
import pytest

from harness import launchers
from harness.paths import BINARY
from harness.scripted import Stage
from harness.server import Server

AXONS = ["echo", "canned", "slow", "fail", "blacklist", "hang", "midfail", "empty", "allow", "priority", "badprio"]
VERIFIERS = ["echo", "canned", "slow", "fail", "midfail", "hang", "empty", "http429", "http503", "badjson"]
# The hotkey of `//RealValidator`: the one caller that the `allow` miner answers.
VALIDATOR = "5Evj9zmZZYV941YKT7sUwY5kVUo1WDthLDH2ifQxDgPEVwKa"


def pytest_sessionstart():
    if not BINARY.exists():
        raise pytest.UsageError(f"{BINARY} is missing; `make test-e2e` builds it")


@pytest.fixture(scope="session")
def axons():
    """Real axons of SDK 10, every behaviour."""
    started = launchers.axons(AXONS, delay=1.0, allow_hotkey=VALIDATOR)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def verifiers():
    """Real verifiers of SDK 11 request signatures, every behaviour."""
    started = launchers.verifiers("btauth", VERIFIERS, delay=1.0)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def plain():
    """OpenAI servers behind a bearer key."""
    started = launchers.verifiers("plain", ["echo", "fail"], key="upstream-key-canary")
    yield started
    started.stop()


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """Starts servers; at the end each must still live, and end in order when told to."""
    servers = []

    def start(settings=None, prepare=lambda folder: None, **options):
        folder = tmp_path_factory.mktemp("btvep")
        prepare(folder)
        servers.append(Server(folder, settings, **options).start())
        return servers[-1]

    yield start
    try:
        for server in servers:
            if server.process.returncode is None:
                assert server.alive(), server.errors()
                assert server.stop() == 0, server.errors()
            assert "panicked at" not in server.errors(), server.errors()
    finally:
        # Also when one of them has failed, none is left behind.
        for server in servers:
            if server.alive():
                server.kill()


@pytest.fixture(scope="module")
def stage():
    """Scripted miners."""
    made = Stage()
    yield made
    made.close()


@pytest.fixture
def new_key(request):
    """Makes keys on the server of the module's `server` fixture, so that no test sees another's money."""
    server = request.getfixturevalue("server")
    return lambda *argv: server.create_key(*argv)
