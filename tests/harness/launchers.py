"""The real SDK miners, each generation in its own Python."""
import json
import queue
import signal
import subprocess
import threading

from .paths import PEERS, PYTHON10, PYTHON11
from .ports import free_block


class Launcher:
    """One launcher process; `miners` is its manifest."""

    def __init__(self, argv, count):
        for _ in range(5):
            base = free_block(count)
            self.process = subprocess.Popen(
                [*map(str, argv), "--n", str(count), "--base-port", str(base)],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=PEERS)
            self.lines = queue.Queue()
            threading.Thread(target=self._read, daemon=True).start()
            manifest = self._manifest()
            if manifest:
                self.manifest, self.miners = manifest, manifest["miners"]
                return
        raise AssertionError(f"miners did not start: {argv}")

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _manifest(self):
        while (line := self.lines.get(timeout=60)) is not None:
            if line.startswith("READY "):
                return json.loads(line[6:])
        return None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def behaving(self, behaviour):
        """The uids with this behaviour."""
        return [miner["uid"] for miner in self.miners if miner["behaviour"] == behaviour]


def axons(behaviours, **options):
    """Axons of SDK 10, one per behaviour."""
    return Launcher([PYTHON10, PEERS / "real_miners.py", "--behaviours", ",".join(behaviours), *_flags(options)],
                    len(behaviours))


def verifiers(protocol, behaviours, **options):
    """Miners of SDK 11 that verify request signatures (`btauth`), or take a bearer key (`plain`)."""
    return Launcher([PYTHON11, PEERS / "openai_miners.py", "--protocol", protocol,
                     "--behaviours", ",".join(behaviours), *_flags(options)], len(behaviours))


def _flags(options):
    return [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
