"""Where things are."""
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = Path(os.environ.get("BTVEP_BINARY", TARGET / "debug" / "btvep"))
PEERS = ROOT / "tests" / "peers"
PYTHON10 = ROOT / "target" / "peers" / "sdk10" / "bin" / "python"
PYTHON11 = ROOT / "target" / "peers" / "sdk11" / "bin" / "python"
