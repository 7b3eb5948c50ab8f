"""What the documents say is true: links lead somewhere, configurations are accepted, examples run."""
import re
import subprocess

import pytest

from harness.paths import BINARY, ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("tests/**/*.md")])
BLOCK = re.compile(r"^```toml\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
NAMED = re.compile(r"`((?:core|plugins|strategies|conf|scripts|tests|examples|benches|xtask|docs)/[\w./-]+)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_named_files_exist(document):
    text = document.read_text()
    missing = [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    missing += [name for name in NAMED.findall(text) if not (ROOT / name).exists()]
    assert missing == []


def blocks():
    for document in DOCUMENTS:
        for n, block in enumerate(BLOCK.findall(document.read_text())):
            yield pytest.param(block, id=f"{document.relative_to(ROOT)}-{n}")
    for file in sorted([*ROOT.glob("docs/**/*.toml"), *ROOT.glob("examples/**/*.toml")]):
        yield pytest.param(file.read_text(), id=str(file.relative_to(ROOT)))


@pytest.mark.parametrize("block", list(blocks()))
def test_every_configuration_in_a_document_is_accepted(block, tmp_path):
    file = tmp_path / "btvep.toml"
    file.write_text(block)
    done = subprocess.run([str(BINARY), "config", "check", "--config", str(file)], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr
