"""`callsheet health`: what it shows of breakers, gates and calls, what it forgets, and whom it asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.retrying import Retrying

TOML = """
api = 1
[provider]
name = "frail"
secrets = ["FRAIL_KEY"]
[[models]]
model = "words"
operation = "text.generate"
"""
CODE = """
import os
from callsheet.plugin import (
    AuthenticationError, Expected, HandlerSpec, JobResult, ModelNotFoundError, ProviderRequest, RateLimitedError, TextArtifact,
    hookimpl
)

class Frail:
    def prepare(self, job):
        return ProviderRequest(job.ref, job.operation, {"prompt": job.inputs.prompt}, (Expected("text", "text/plain"),), {"run": 1})

    async def invoke(self, request, context):
        if request.body["prompt"] == "gone":
            raise ModelNotFoundError("no such \\x1b[31mmodel")
        if request.body["prompt"] == "fast":
            raise RateLimitedError("slowly", retry_after=7200.0)
        return JobResult((TextArtifact("fine"),))

    async def check_health(self, context):
        if "FRAIL_SICK" in os.environ:
            raise AuthenticationError(f"refuses {(await context.secrets.require('FRAIL_KEY')).reveal()}")
        if "FRAIL_BROKEN" in os.environ:
            raise ValueError("odd")

@hookimpl
def callsheet_register_handlers():
    return [HandlerSpec("frail", Frail)]
"""
ROW = {
    "scope": "model",
    "name": "frail:words",
    "provider": "frail",
    "state": "open",
    "failures": 1,
    "kind": "model_not_found",
}


@pytest.fixture
def frail(site, toy, monkeypatch):
    """A live provider beside the toy one."""
    site.install("callsheet-frail", toml=TOML, code=CODE, entry_name="frail")
    monkeypatch.setenv("CALLSHEET_PLUGINS", "toy,frail")
    monkeypatch.setenv("FRAIL_KEY", "sk-very-secret-1234567890")


def call(cli, prompt):
    """One call."""
    return cli("call", "frail:words", "-p", f"prompt={prompt}", "--json")


def test_with_nothing_to_tell_it_says_so(cli, frail):
    """In words, and as empty lists."""
    assert "nothing keeps calls from being sent" in cli("health").out
    assert cli("health", "--json").document == {"breakers": [], "gates": [], "models": []}


def test_an_open_breaker_is_shown_and_reset(cli, frail):
    """The call after it is refused with the remedy; after the remedy it is sent."""
    call(cli, "gone")
    refused = call(cli, "lava")
    assert refused.code == 1
    error = refused.document["error"]
    assert (error["kind"], error["sent"]) == ("model_not_found", "not_sent")
    assert "`callsheet health --reset frail`" in error["message"]
    document = cli("health", "--json").document
    [breaker] = document["breakers"]
    assert breaker.items() >= ROW.items()
    assert breaker["until"] > breaker["failed"]
    [model] = document["models"]
    assert (model["attempts"], model["failures"], model["median_seconds"]) == (1, {"model_not_found": 1}, None)
    shown = cli("health")
    assert "frail:words" in shown.out
    assert "\x1b" not in shown.out + shown.err
    assert "callsheet health --reset frail" in shown.err
    assert cli("health", "--reset", "toy").out == "nothing of 'toy' was open or held\n"
    assert cli("health", "--reset", "frail").out == "let through again: model frail:words\n"
    assert call(cli, "lava").code == 0
    [model] = cli("health", "--json").document["models"]
    assert (model["attempts"], model["failed"]) == (2, 1)
    assert model["median_seconds"] is not None


def test_calls_that_were_made_up_say_nothing(cli, frail):
    """Those of a provider that simulates, too, although nobody asked to mock them."""
    assert cli("call", "toy:text", "-p", "prompt=x").code == 0
    assert cli("health", "--json").document["models"] == []


def test_whose_calls_they_are(cli, frail, monkeypatch):
    """In a project its own; elsewhere those of the user from all folders without a project, which is said."""
    call(cli, "lava")
    note = "note: this folder belongs to no project"
    for folder, ours in (("elsewhere", True), ("project", False)):
        Path(folder).mkdir()
        if not ours:
            Path(folder, "callsheet.toml").touch()
        with monkeypatch.context() as there:
            there.chdir(folder)
            ended = cli("health")
        assert ("frail:words" in ended.out, note in ended.err) == (ours, ours)
    Path("project", "callsheet.toml").unlink()


def test_a_held_gate_is_shown_and_reset(cli, frail, monkeypatch):
    """With the limits of the configuration; a call that comes meanwhile is told, and not sent."""
    monkeypatch.setattr(Retrying, "wait", lambda _self, _error: None)
    Path("callsheet.toml").write_text("[limits.frail]\nrequests_per_second = 5\nconcurrency = 8\n")
    assert call(cli, "fast").code == 1
    assert call(cli, "lava").document["error"]["sent"] == "not_sent"
    [gate] = cli("health", "--json").document["gates"]
    assert (gate["rate_key"], gate["requests_per_second"], gate["concurrency"]) == ("frail", 5.0, 8)
    assert (gate["concurrency_now"], gate["blocked_until"] > 0) == (4.0, True)
    assert "5 requests/s" in cli("health").out
    reset = cli("health", "--reset", "frail", "--json").document
    assert reset == {"reset": {"provider": "frail", "breakers": [], "gates": ["frail"]}}
    assert call(cli, "lava").code == 0


def test_providers_are_asked_when_that_is_wanted(cli, frail, monkeypatch):
    """Those that can be asked for nothing; the exit code says whether all answer, and no key is shown."""
    well = cli("health", "--check", "--json")
    assert [(each["provider"], each["ok"]) for each in well.document["checks"]] == [("frail", True)]
    assert well.code == 0
    monkeypatch.setenv("FRAIL_SICK", "1")
    sick = cli("health", "--check")
    assert (sick.code, "refuses [redacted]" in sick.out, "sk-very" in sick.out + sick.err) == (1, True, False)
    monkeypatch.delenv("FRAIL_SICK")
    monkeypatch.setenv("FRAIL_BROKEN", "1")
    broken = cli("health", "--check", "--json")
    assert (broken.code, broken.document["checks"][0]["problem"]) == (1, "its plugin broke: ValueError")
    monkeypatch.delenv("FRAIL_KEY")
    [keyless] = cli("health", "--check", "--json").document["checks"]
    assert "FRAIL_KEY" in keyless["problem"]


def test_check_and_reset_exclude_each_other(cli, frail):
    """One asks, the other forgets."""
    assert cli("health", "--check", "--reset", "frail").code == 2
