"""The examples run as they are, against `conf/dev.toml`."""
import json
import os
import subprocess
import sys

import pytest

from harness.paths import ROOT

EXAMPLES = sorted([*ROOT.glob("examples/*.sh"), *ROOT.glob("examples/*.py")])


@pytest.fixture(scope="module")
def environment(serve, tmp_path_factory):
    state = tmp_path_factory.mktemp("state")
    server = serve(file=ROOT / "conf" / "dev.toml", sets=[f"state.path={state}"])
    return {**os.environ, "BTVEP_URL": f"http://{server.public}", "BTVEP_KEY": (state / "demo.key").read_text().strip()}


def run(example, environment):
    program = [sys.executable] if example.suffix == ".py" else ["sh"]
    done = subprocess.run([*program, str(example)], capture_output=True, text=True, timeout=60, env=environment,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_it_runs(example, environment):
    assert run(example, environment)


def test_chat_says_who_answered(environment):
    head, body = run(ROOT / "examples" / "chat.sh", environment).replace("\r", "").split("\n\n", 1)
    assert "x-btvep-uid:" in head.lower()
    assert json.loads(body)["choices"][0]["message"]["content"] == "echo:What is a metagraph?"


def test_stream_ends_in_order(environment):
    assert run(ROOT / "examples" / "stream.sh", environment).endswith("data: [DONE]\n\n")


def test_each_strategy_names_its_place(environment):
    lines = run(ROOT / "examples" / "strategies.sh", environment).lower().splitlines()
    sources = [line.split("x-btvep-strategy-source: ")[1].split()[0] for line in lines]
    assert sources == ["body", "body", "body", "header", "suffix"]


def test_legacy_gives_three_choices(environment):
    assert len(json.loads(run(ROOT / "examples" / "legacy.sh", environment))["choices"]) == 3


def test_all_answers_gives_three(environment):
    assert len(run(ROOT / "examples" / "all_answers.py", environment).splitlines()) == 3


def test_errors_are_the_ones_expected(environment):
    assert run(ROOT / "examples" / "errors.py", environment).splitlines() == [
        "no such model: model_not_found", "my mistake: invalid_value messages", "my mistake: invalid_selection uids"]


def test_the_list_in_the_readme_is_whole():
    listed = (ROOT / "examples" / "README.md").read_text()
    assert [path.name for path in EXAMPLES if f"[{path.name}]" not in listed] == []
