"""The example with OpenAI's models: planned with dated prices, and run live against a mock of the vendor for its texts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "volcano"
KEY = "sk-test-volcano-4fZq9XbN7wLr2K"
TEXTS = {"script": "openai:gpt-6.1-sol", **{f"prompt[{number}]": "openai:gpt-6-luna" for number in range(3)}}
MOCKED = "narration,still,clip,music"


def callsheet(folder: Path, *words: str, origin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command in the project, with the key and the base URL in the environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CALLSHEET_", "OPENAI_"))}
    more = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": origin} if origin else {}
    command = [sys.executable, "-m", "callsheet", *words]
    run = subprocess.run(command, cwd=folder, env=kept | more, capture_output=True, text=True, timeout=100)
    assert run.returncode == code, run.stderr
    return run


@pytest.fixture
def volcano(tmp_path: Path) -> Path:
    """A copy of the example, without what runs leave behind."""
    folder = tmp_path / "volcano"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".callsheet", "output*"))
    return folder


def test_the_plan_has_openai_models_and_their_prices(volcano):
    """Each token has its price and date in the manifest; how many there will be is told as a range."""
    plan = json.loads(callsheet(volcano, "plan", ".", "--mock", MOCKED, "--json").stdout)
    refs = {job["id"]: job["ref"] for job in plan["jobs"] if job["id"] in TEXTS}
    assert refs == TEXTS
    cost = next(job["cost"] for job in plan["jobs"] if job["id"] == "script")
    assert cost.keys() == {"low", "high"}
    told = callsheet(volcano, "plan", ".", "--mock", MOCKED).stdout.splitlines()
    for model in ("gpt-6.1-sol", "gpt-6-luna"):
        shown = json.loads(callsheet(volcano, "model", "show", f"openai:{model}", "--json").stdout)
        assert shown["price"]
        for row in shown["price"]:
            assert row["as_of"] >= "2026-01-01"
            assert row["source"]
        jobs = [job for job in plan["jobs"] if job["ref"] == f"openai:{model}"]
        assert jobs
        assert all(job["price"] == shown["price"] for job in jobs)
        (line,) = (line for line in told if line.startswith(f"openai:{model}: $"))
        assert line.endswith(f"({shown['price'][0]['as_of']}, {shown['price'][0]['source']})")
    assert all(job["price"] == [] for job in plan["jobs"] if job["id"] not in TEXTS)


def test_a_live_run_completes_its_text_jobs(volcano, aimock):
    """Four texts from the vendor's counterpart, the rest mocked: every job is executed, and again nothing is sent."""
    before = len(aimock.journal())
    run = callsheet(volcano, "run", ".", "--mock", MOCKED, "--json", origin=aimock.origin)
    document = json.loads(run.stdout)
    assert (document["status"], document["executed"], document["failed"]) == ("succeeded", 14, 0)
    asked = aimock.journal()[before:]
    assert [(entry["method"], entry["path"]) for entry in asked] == [("POST", "/v1/responses")] * 4
    assert sorted(entry["body"]["model"] for entry in asked) == ["gpt-6-luna"] * 3 + ["gpt-6.1-sol"]
    (output,) = (path for path in volcano.iterdir() if path.name.startswith("output"))
    manifest = json.loads((output / "manifest.json").read_text())
    made = {job["id"]: job for job in manifest["jobs"]}
    assert {name: made[name]["ref"] for name in TEXTS} == TEXTS
    assert all(made[name]["status"] == "executed" for name in TEXTS)
    assert json.loads((output / "script.json").read_text())["title"] == "Why volcanoes erupt"
    again = json.loads(callsheet(volcano, "run", ".", "--mock", MOCKED, "--json", origin=aimock.origin).stdout)
    assert again["executed"] == 0
    assert len(aimock.journal()) == before + 4
    assert not [path for path in volcano.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_a_live_run_without_the_key_says_how_to_set_it(volcano):
    """Exit code 3; nothing was sent."""
    run = callsheet(volcano, "run", ".", "--mock", MOCKED, code=3)
    assert "OPENAI_API_KEY" in run.stderr
