"""A third party's plugin beside the mock: mapped as live and then mocked, or live for some producers and mocked for others."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from callsheet.testing import assert_image

PLUGIN_TOML = """
api = 1
provides = ["models"]
[provider]
name = "acme"
secrets = ["ACME_API_KEY"]
[[models]]
model = "poster"
operation = "image.generate"
wire = "paint"
price = [{ per = "image", usd = 0.04, as_of = "2026-11-01", source = "acme.example/prices" }]
[[models]]
model = "words"
operation = "text.generate"
wire = "write"
"""
ENTRY = '''
"""Posters and words."""
from callsheet.plugin import HandlerSpec, hookimpl


def paint():
    from callsheet_acme.wires import Paint

    return Paint()


def write():
    from callsheet_acme.wires import Write

    return Write()


@hookimpl
def callsheet_register_handlers():
    """Two wires."""
    return [HandlerSpec("acme", paint, wire="paint"), HandlerSpec("acme", write, wire="write")]
'''
WIRES = '''
from callsheet.plugin import CallWarning, CapabilityUnsupportedError, Expected, JobResult, ProviderRequest, TextArtifact, WarningKind


class Paint:
    """Knows its sizes: posters are 300 x 500."""

    def prepare(self, job):
        if job.inputs.images:
            raise CapabilityUnsupportedError(f"{job.ref} takes no input images")
        warnings = ()
        if job.inputs.negative_prompt:
            warnings = (CallWarning(WarningKind.UNSUPPORTED, "posters know no negative prompt", "negative_prompt"),)
        body = {"text": job.inputs.prompt, "n": job.inputs.count}
        expects = (Expected("blob", "image/png", count=job.inputs.count, width=300, height=500),)
        return ProviderRequest(job.ref, job.operation, body, expects, {"image": job.inputs.count}, warnings)

    async def invoke(self, request, context):
        raise AssertionError("a mocked call must not come here")


class Write:
    """Answers with the key's length, to show that the secret was there."""

    def prepare(self, job):
        return ProviderRequest(job.ref, job.operation, {"text": job.inputs.prompt}, (Expected("text", "text/plain"),))

    async def invoke(self, request, context):
        key = await context.secrets.require("ACME_API_KEY")
        return JobResult((TextArtifact(f"{request.body['text']} with a key of {len(key.reveal())}"),))
'''
SHEET = """
[producers.words]
operation = "text.generate"
models = ["acme:words"]
prompt = "a headline"

[producers.poster]
operation = "image.generate"
models = ["acme:poster"]
prompt = "{{ words }}"
count = 2
"""


@pytest.fixture
def site(tmp_path):
    """A folder with the third party's installed distribution."""
    folder = tmp_path / "site"
    package = folder / "callsheet_acme"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(ENTRY)
    (package / "wires.py").write_text(WIRES)
    (package / "plugin.toml").write_text(PLUGIN_TOML)
    info = folder / "callsheet_acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: callsheet-acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[callsheet]\nacme = callsheet_acme\n")
    return folder


@pytest.fixture
def sheet(tmp_path):
    """A sheet of the third party's models."""
    folder = tmp_path / "film"
    folder.mkdir()
    (folder / "sheet.toml").write_text(SHEET)
    return folder


def run(site, *arguments, code=0, **environ):
    """The command's JSON document, with the distribution installed."""
    env = {**os.environ, "PYTHONPATH": str(site), **environ}
    command = [sys.executable, "-m", "callsheet", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout)


def jobs(folder, output="output-mock"):
    """The manifest's jobs by id."""
    manifest = json.loads((folder / output / "manifest.json").read_text())
    return {job["id"]: job for job in manifest["jobs"]}


def test_the_mock_makes_what_the_live_mapping_promises(site, sheet):
    """The plugin's own `prepare` says 300 x 500, and that is what comes."""
    document = run(site, "run", sheet, "--mode", "mock", "--strict")
    assert (document["executed"], document["warnings"]) == (2, [])
    for number in range(2):
        assert_image(sheet / f"output-mock/poster-{number}.png", width=300, height=500)
    assert {job["mapping"] for job in jobs(sheet).values()} == {"checked"}
    assert all(job["meta"]["mocked"] for job in jobs(sheet).values())


def test_a_plan_prices_the_live_run(site, sheet):
    """From the manifest's dated row, also for a job whose words are still to come; what nobody can say is unknown, never zero."""
    plan = run(site, "plan", sheet)
    costs = {job["id"]: job["cost"] for job in plan["jobs"]}
    assert costs["poster"] == {"usd": "0.08"}
    assert costs["words"]["usd"] is None
    assert plan["cost"]["usd"] is None
    (sheet / "sheet.toml").write_text(SHEET.replace("{{ words }}", "a volcano"))
    costs = {job["id"]: job["cost"] for job in run(site, "plan", sheet)["jobs"]}
    assert costs["poster"] == {"usd": "0.08"}


def test_some_producers_live_and_some_mocked(site, sheet):
    """`--mock poster`: the words are real, the pictures are not."""
    document = run(site, "run", sheet, "--mock", "poster", ACME_API_KEY="0123456789")
    assert document["status"] == "succeeded"
    assert (sheet / "output/words.txt").read_text() == "a headline with a key of 10"
    made = jobs(sheet, "output")
    assert (made["words"]["mocked"], made["poster"]["mocked"]) == (False, True)


def test_a_mocked_result_never_satisfies_a_live_run(site, sheet):
    """The namespaces are apart: after a mocked run, a live one still has everything to do."""
    run(site, "run", sheet, "--mode", "mock")
    states = {job["id"]: job["state"] for job in run(site, "plan", sheet)["jobs"]}
    assert states == {"words": "run", "poster": "maybe"}


def test_a_missing_secret_ends_it_with_the_name_and_exit_code_3(site, sheet):
    """And nothing was sent: what is missing for the last step shows before the first one is paid for."""
    document = run(site, "run", sheet, "--mock", "poster", code=3, ACME_API_KEY="")
    assert document["error"]["kind"] == "config"
    assert "ACME_API_KEY" in document["error"]["message"]
    assert not (sheet / "output").exists()


def test_a_wish_the_model_cannot_take_is_told_and_strict_refuses_it(site, sheet):
    """A warning in the result, never silence."""
    (sheet / "sheet.toml").write_text(SHEET + 'negative_prompt = "birds"\n')
    document = run(site, "run", sheet, "--mode", "mock")
    assert "posters know no negative prompt" in " ".join(jobs(sheet)["poster"]["warnings"])
    assert document["status"] == "succeeded"
    refused = run(site, "run", sheet, "--mode", "mock", "--strict", code=2)
    assert "negative prompt" in refused["error"]["message"]


def test_listing_models_runs_no_plugin_code(site):
    """The rows come from plugin.toml: a plugin that would break at import is listed all the same."""
    (site / "callsheet_acme/__init__.py").write_text("raise SystemExit('broken at import')\n")
    models = run(site, "models", "--provider", "acme")
    assert {"acme:poster", "acme:words"} <= set(json.dumps(models).replace('"', " ").split())
