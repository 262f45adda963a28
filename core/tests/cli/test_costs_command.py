"""`callsheet costs`, `--max-cost`, and the question before a dear run."""

from __future__ import annotations

import io
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

DEAR = """
title = "Three"
[producers.a]
operation = "text.generate"
models = ["dear:words"]
for_each = 3
prompt = "{{ index }}"
"""
TOML = """
api = 1
[provider]
name = "dear"
[[models]]
model = "words"
operation = "text.generate"
price = [{ per = "run", usd = 0.50, as_of = "2026-08-01", source = "dear.test/pricing" }]
[[models]]
model = "second"
operation = "text.generate"
price = [{ per = "run", usd = 0.50, as_of = "2026-08-01", source = "dear.test/pricing" }]
"""
CODE = """
from callsheet.plugin import (
    ContentRejectedError, Expected, HandlerSpec, JobFailedError, JobResult, OverloadedError, ProviderRequest,
    TextArtifact, hookimpl
)

class Dear:
    def prepare(self, job):
        prompt = job.inputs.prompt or job.inputs.messages[-1].parts[-1].text
        return ProviderRequest(job.ref, job.operation, {"prompt": prompt, "options": {}}, (Expected("text", "text/plain"),), {"run": 1})

    async def invoke(self, request, context):
        if request.body["prompt"] == "refused":
            raise ContentRejectedError("no")
        if request.body["prompt"] == "lost":
            raise RuntimeError
        if request.body["prompt"] == "busy" and request.ref.model == "words":
            raise OverloadedError("come back later", retryable=False)
        if request.body["prompt"] == "broken" and request.ref.model == "words":
            raise JobFailedError("broke", retryable=False)
        return JobResult((TextArtifact(request.body["prompt"]),))

@hookimpl
def callsheet_register_handlers():
    return [HandlerSpec("dear", Dear)]
"""


@pytest.fixture
def dear(site, toy, monkeypatch, sheet):
    """A provider that is paid, and a sheet with three calls to it."""
    site.install("callsheet-dear", toml=TOML, code=CODE, entry_name="dear")
    monkeypatch.setenv("CALLSHEET_PLUGINS", "toy,dear")
    return sheet(DEAR)


def this_day() -> date:
    """Where this machine is."""
    return datetime.now().astimezone().date()


def configure(folder, **money):
    """Write the project's money policy."""
    lines = [f'{name} = "{value}"' for name, value in money.items()]
    (folder / "callsheet.toml").write_text("\n".join(["[money]", *lines, ""]))


def test_what_was_spent(dear, cli, monkeypatch):
    """By each of its columns; refused calls and reused results cost nothing, a failed one nobody knows what."""
    configure(dear)
    monkeypatch.chdir(dear)
    assert cli("costs").out == "nothing was paid for yet\n"
    run = cli("run", ".", "--json").document["run"]
    cli("run", ".")
    assert cli("call", "dear:words", "-p", "prompt=refused").code == 4
    assert cli("call", "dear:words", "-p", "prompt=broken").code == 1
    cli("call", "toy:text", "-p", "prompt=x")
    today = this_day().isoformat()
    three = {"cost": {"usd": "1.50"}, "attempts": 3, "failed": 0, "unknown": 0}
    one = {"cost": {"usd": "0.00"}, "attempts": 1, "failed": 1, "unknown": 1}
    free = {"cost": {"usd": "0.00"}, "attempts": 1, "failed": 0, "unknown": 0}
    whole = {"cost": {"usd": "1.50"}, "attempts": 5, "failed": 1, "unknown": 1}
    dear_ones = {**whole, "attempts": 4}
    for by, rows in {
        "provider": {"dear": dear_ones, "toy": free},
        "model": {"dear:words": dear_ones, "toy:text": free},
        "run": {"(single calls)": {**one, "attempts": 2}, run: three},
        "producer": {"a": three, "call": {**one, "attempts": 2}},
        "day": {today: whole},
    }.items():
        told = cli("costs", "--by", by, "--json").document
        assert told == {
            "by": by,
            "since": None,
            "costs": [{"name": name, **row} for name, row in sorted(rows.items())],
            "total": whole,
        }, by
    lines = cli("costs").out.splitlines()
    assert lines[0].split() == ["provider", "cost", "attempts", "failed", "unknown"]
    assert lines[1].split() == ["dear", "$1.50", "4", "1", "1"]
    assert lines[-1].split() == ["total", "$1.50", "5", "1", "1"]


def test_since_a_day(dear, cli, monkeypatch):
    """From its beginning on; a day that is none is a usage error."""
    configure(dear)
    monkeypatch.chdir(dear)
    cli("run", ".")
    today, tomorrow = this_day(), this_day() + timedelta(days=1)
    assert cli("costs", "--since", today, "--json").document["total"]["attempts"] == 3
    assert cli("costs", "--since", tomorrow, "--json").document["costs"] == []
    assert cli("costs", "--since", tomorrow).out == "nothing was paid for since then\n"
    assert cli("costs", "--since", "monday").code == 2


def test_a_bound_on_the_command_line(dear, cli):
    """What is refused is told with what helps; a higher bound goes on with the same run."""
    ended = cli("run", dear, "--max-cost", "1.20")
    assert ended.code == 5
    assert "error: a[2] failed: a[2] (dear:words) was not started: it costs $0.50, and of the $1.20" in ended.err
    assert "what to do: raise the bound to go on: `callsheet resume RUN --max-cost USD`" in ended.err
    run = cli("runs", "list", "--project", dear, "--json").document["runs"][0]["run"]
    again = cli("resume", run, "--project", dear)
    assert again.code == 5  # the bound goes on with the run
    assert cli("resume", run, "--project", dear, "--max-cost", "1.50").code == 0
    assert cli("run", dear, "--max-cost", "0", "-o", "elsewhere").code == 0
    receipt = dear / "receipt.json"
    receipt.write_text("{}")
    refused = cli("resume", receipt, "--max-cost", "1")
    assert (refused.code, "--max-cost is for runs" in refused.err) == (2, True)


def test_a_call_above_the_bound_is_not_sent(dear, cli):
    """The words, the kind and the exit code are those of a run; what is reused or mocked costs nothing."""
    call = ("call", "dear:words", "-p", "prompt=x")
    assert cli(*call, "--max-cost", "0.50").code == 0
    assert cli(*call, "--max-cost", "0", "--reuse").code == 0
    ended = cli(*call, "--max-cost", "0.49")
    assert (ended.code, ended.out) == (1, "")
    assert "error: call (dear:words) was not started: it costs $0.50, and of the $0.49 for a call" in ended.err
    assert "what to do: raise the bound to go on" in ended.err
    error = cli(*call, "--max-cost", "0", "--json").document["error"]
    assert (error["kind"], error["sent"]) == ("budget", "not_sent")
    assert cli(*call, "--max-cost", "0", "--mode", "mock").code == 0
    assert cli(*call, "--max-cost", "0", "--stream").code == 1
    assert cli(*call, "--max-cost", "much").code == 2
    assert cli("costs", "--json").document["total"]["attempts"] == 1


def test_a_call_of_unknown_price_under_a_bound(dear, cli, site, monkeypatch):
    """It is refused as in a run, and with the word that lets it go."""
    unpriced = "".join(line for line in TOML.splitlines(True) if not line.startswith("price"))
    site.install("callsheet-vague", toml=unpriced.replace("dear", "vague"), code=CODE.replace("dear", "vague"))
    monkeypatch.setenv("CALLSHEET_PLUGINS", "toy,callsheet-vague")
    call = ("call", "vague:words", "-p", "prompt=x", "--max-cost", "5", "--project", ".")
    refused = cli(*call)
    assert refused.code == 1
    assert '[money] unknown = "allow" lets such calls go' in refused.err
    Path("callsheet.toml").write_text('[money]\nunknown = "allow"\n')
    assert cli(*call).code == 0


@pytest.mark.parametrize(
    ("prompt", "bound", "code"),
    [("broken", "0.99", 1), ("broken", "1.00", 0), ("busy", "0.50", 0), ("busy", "0.49", 1)],
)
def test_a_call_and_its_fallbacks_share_the_bound(dear, cli, prompt, bound, code):
    """What a model before may have cost is counted; of one that surely did not accept the request, nothing."""
    ended = cli("call", "dear:words", "-p", f"prompt={prompt}", "--fallback", "dear:second", "--max-cost", bound)
    assert ended.code == code
    assert ended.out == ("" if code else f"{prompt}\n")


def test_a_chat_within_a_bound(dear, cli, monkeypatch):
    """Its answers share it: what they did cost is counted, and after one that nobody knows nothing more is sent."""

    def chat(*lines, bound):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return cli("chat", "dear:words", "--max-cost", bound)

    ended = chat("one", "two", "three", bound="1.20")
    assert (ended.code, len(ended.out.splitlines())) == (1, 2)
    assert "it costs $0.50, and of the $0.20 for a call outside of a run" in ended.err
    assert "of --max-cost $0.20 is left" in ended.err
    assert "your message is kept: /retry sends it again" in ended.err
    assert chat("one", "two", bound="1.00").code == 0
    lost = chat("lost", bound="5")
    assert "nobody knows what that attempt cost, so nothing is left of --max-cost" in lost.err


def test_nothing_fits(dear, cli):
    """Exit code 1, and the document says which kind of failure it was."""
    ended = cli("run", dear, "--max-cost", "0.10", "--json")
    assert ended.code == 1
    assert (ended.document["failed"], ended.document["skipped"]) == (1, 2)
    assert ended.document["errors"][0]["kind"] == "budget"


def test_a_dear_run_wants_a_yes(dear, cli, monkeypatch):
    """On a terminal it is asked; elsewhere it is a usage error that says what to add; below the threshold nothing."""
    configure(dear, confirm_above="1.00")
    refused = cli("run", dear)
    assert refused.code == 2
    assert "this run may cost $1.50; the project asks above $1.00" in refused.err
    assert "add --yes" in refused.err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    answers = iter(["n", "y"])
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _prompt: next(answers))
    declined = cli("run", dear)
    assert (declined.code, declined.out) == (1, "")
    assert declined.err.endswith("nothing was run\n")
    assert cli("costs", "--project", dear, "--json").document["total"]["attempts"] == 0
    assert cli("run", dear, "--dry-run").code == 0
    assert cli("run", dear).code == 0
    assert cli("run", dear).code == 0  # all is paid for: no question
    assert next(answers, None) is None


def test_a_yes_beforehand(dear, cli):
    """`--yes` asks nothing; a mocked run costs nothing, so nothing is asked either."""
    configure(dear, confirm_above="0.10")
    assert cli("run", dear, "--mode", "mock").code == 0
    assert cli("run", dear, "--yes").code == 0


def test_the_plan_names_the_command(dear, cli):
    """With its bound."""
    told = cli("run", dear, "--dry-run", "--max-cost", "2.50").err
    assert f"run it with: callsheet run {dear} --max-cost 2.50" in told
