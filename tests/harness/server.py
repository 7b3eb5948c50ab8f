"""The real binary with a configuration, ports and a store of its own."""
import json
import os
import signal
import subprocess
import time

from . import config, raw
from .deadline import until
from .paths import BINARY
from .ports import free_block


class CommandFailed(AssertionError):
    """The command line ended with an error."""

    def __init__(self, argv, done):
        super().__init__(f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        self.returncode, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr


class Server:
    """Started by `start`, ended by `stop` or `kill`; may be started again on the same store."""

    def __init__(self, folder, settings=None, file=None, sets=(), env=None):
        self.folder = folder
        self.public = self.admin = None
        self.out, self.err = folder / "stdout.log", folder / "stderr.log"
        self.file = file or config.write(folder / "btvep.toml", {**settings, "state": {"path": "state"}})
        self.sets, self.env = list(sets), {**os.environ, **(env or {})}
        self.process = None

    def start(self, seconds=20.0):
        for _ in range(3):
            port = free_block(2)
            self.public, self.admin = f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"
            argv = [str(BINARY), "start", *self._where(),
                    "--set", f"listen.public={self.public}", "--set", f"listen.admin={self.admin}"]
            with self.out.open("ab") as out, self.err.open("ab") as err:
                self.process = subprocess.Popen(argv, stdout=out, stderr=err, stdin=subprocess.DEVNULL,
                                                env=self.env, cwd=self.folder)
            if until(lambda: self._state() is not None, "the server's readiness", seconds) and self._state():
                return self
            if "in use" not in self.err.read_text(errors="replace"):
                break
        raise AssertionError(f"the server ended at its start:\n{self.errors()}")

    def _where(self):
        return ["--config", str(self.file), *(part for one in self.sets for part in ("--set", one))]

    def _state(self):
        """True when ready, False when ended, None when not yet."""
        if self.process.poll() is not None:
            return False
        try:
            return raw.request(self.admin, "GET", "/readyz", seconds=2).status == 200 or None
        except (OSError, ValueError, EOFError):
            return None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def ended(self, seconds=20.0):
        """Waits for its end and returns the exit code."""
        return self.process.wait(seconds)

    def stop(self, seconds=20.0):
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        return self.ended(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait(20)

    def errors(self):
        return self.err.read_text(errors="replace")

    def printed(self):
        return self.out.read_text(errors="replace")

    # The command line.

    def run(self, *argv, check=True, seconds=60):
        argv = [str(BINARY), *map(str, argv), *self._where()]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, env=self.env, cwd=self.folder,
                              stdin=subprocess.DEVNULL, check=False)
        if check and done.returncode:
            raise CommandFailed(argv, done)
        return done

    def cli(self, *argv):
        """Returns the one JSON value that the command prints."""
        return json.loads(self.run(*argv, "--json").stdout)

    def create_key(self, *argv):
        """Returns `(id, key)`."""
        made = self.cli("key", "create", *argv)
        return made["id"], made["key"]

    def account(self, key_id):
        """Returns `key show`, its money as exact numbers."""
        return self.cli("key", "show", key_id)

    def credits(self, key_id):
        value = self.account(key_id)["credits"]
        return None if value is None else float(value)

    def settled(self, key_id, seconds=10.0):
        """Waits until nothing is held any more and returns the account."""
        def idle():
            account = self.account(key_id)
            return account if float(account["held"]) == 0 else None
        return until(idle, "the end of all holds", seconds)

    def logs(self, *argv):
        return self.cli("logs", *argv)

    def row(self, request_id, seconds=10.0):
        """Waits for the log row of a request."""
        def found():
            return next((row for row in self.logs("--lines", 1000) if row["request_id"] == request_id), None)
        return until(found, f"the row of {request_id}", seconds)

    def metrics(self):
        return raw.request(self.admin, "GET", "/metrics").body.decode()


def now():
    return time.monotonic()
