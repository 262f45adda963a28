"""Secrets that are planted wherever one may turn up are found in no file and no output of a run that fails."""

from __future__ import annotations

import base64
import html
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from callsheet.testing import Exchange, LoopbackServer, Reply

PLANTED = {
    "the key, from the environment": 'env/K3y+pl4nted:"q"~0001',
    "a token in a .env file": "file-t0ken-pl4nted-0002",
    "what a command prints": "command-t0ken-pl4nted-0003",
    "what a command says on stderr": "stderr-t0ken-pl4nted-0004",
    "a token in a URL": "url-t0ken-pl4nted-0005",
    "a header that nobody declared": "header-t0ken-pl4nted-0006",
    "an exception's text": "sk-proj-exception-pl4nted-0007",
    "a provider's error body": "r8_body0t0ken0pl4nted0008",
    "an input in a template": "template-t0ken-pl4nted-0009",
    "an option": "option-t0ken-pl4nted-0010",
    "what an observer raises": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbDRudGVkIn0.pl4nted-0011",
    "a password in a URL": "passw0rd-pl4nted-0012",
}
"""Where each is planted, and itself."""

TOML = """
api = 1
provides = ["models", "events"]

[provider]
name = "leaky"
secrets = ["LEAKY_KEY", "LEAKY_FILE", "LEAKY_COMMAND", "LEAKY_BROKEN", "LEAKY_TEMPLATE", "LEAKY_OPTION"]
origin = "https://leaky.invalid"
origin_env = "LEAKY_BASE_URL"

[[models]]
model = "text"
operation = "text.generate"
"""

CODE = """
import logging, os
from callsheet.plugin import (BlobArtifact, CallWarning, Expected, HandlerSpec, InvalidRequestError, JobResult, ProviderRequest,
    TextArtifact, WarningKind, hookimpl)

seen = []


class Leaky:
    def prepare(self, job):
        body = {"prompt": job.inputs.prompt, "options": dict(job.options)}
        return ProviderRequest(job.ref, job.operation, body, (Expected("text", "text/plain"),), {"run": 1})

    async def invoke(self, request, context):
        key = (await context.secrets.key()).reveal()
        file, printed = [(await context.secrets.require(name)).reveal() for name in ("LEAKY_FILE", "LEAKY_COMMAND")]
        url = f"{context.origin}/v1/say?api_key={os.environ['PLANTED_URL']}"
        context.log.debug("call.sending %s", file, headers={"Authorization": "Bearer " + os.environ["PLANTED_HEADER"]}, url=url)
        context.log.info("call.sent", error=OSError(printed), parts=[key, (file,)])
        how = request.body["options"]["how"]
        reply = await context.http.send("POST", f"/v1/{how}", query={"api_key": key}, headers={"x-leaky-key": key}, json=request.body)
        if how == "fine":
            warning = CallWarning(WarningKind.OTHER, f"the key {key} and {file}")
            return JobResult((TextArtifact("fine"),), meta={"you sent": reply.body.decode(), printed: [file]}, warnings=(warning,))
        if how == "command":
            await context.secrets.require("LEAKY_BROKEN")
        if how == "exception":
            error = RuntimeError(f"cannot read {os.environ['PLANTED_EXCEPTION']} {printed}")
            error.add_note(f"with {key}")
            raise error
        raise InvalidRequestError(f"{url} said {reply.body.decode()}", raw=reply.body.decode(), user_message=reply.body.decode(),
            request_id=reply.headers["x-request-id"], prompt=request.body["prompt"])


@hookimpl
def callsheet_register_handlers():
    return [HandlerSpec("leaky", Leaky)]


@hookimpl
def callsheet_job_event(event):
    logging.getLogger("leaky.sdk").warning("event %s at https://me:%s@proxy.test/", event.type, os.environ["PLANTED_PASSWORD"])
    seen.append(str(event))
    with open(os.environ["LEAKY_EVENTS"], "a") as file:
        file.write(seen[-1])
    raise ValueError("observer " + os.environ["PLANTED_OBSERVER"])
"""

SHEET = """
title = "Leaks"
[inputs]
token = "none"
[producers.told]
operation = "text.generate"
models = [{ ref = "leaky:text", options = { how = "told", note = "OPTION" } }]
prompt = "say {{ inputs.token }}"
[producers.fine]
operation = "text.generate"
models = [{ ref = "leaky:text", options = { how = "fine" } }]
prompt = "lava"
[producers.exception]
operation = "text.generate"
models = [{ ref = "leaky:text", options = { how = "exception" } }]
prompt = "lava"
[producers.command]
operation = "text.generate"
models = [{ ref = "leaky:text", options = { how = "command" } }]
prompt = "lava"
"""


def disguises(secret: str) -> set[bytes]:
    """How a secret may be written."""
    raw = secret.encode()
    forms = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], html.escape(secret)}
    forms |= {raw.hex(), base64.b64encode(raw).decode(), base64.b64encode(b"me:" + raw).decode().rstrip("=")[4:-2]}
    return {form.encode() for form in forms}


def echo(request: Exchange) -> Reply:
    """All that a vendor may say of a request, in all its forms; and a key of its own."""
    key, body = request.headers["x-leaky-key"], os.environ["PLANTED_BODY"]
    told = [
        key,
        quote(key, safe=""),
        quote_plus(key),
        key.encode().hex(),
        base64.b64encode(f"me:{key}".encode()).decode(),
    ]
    told += [json.dumps({"url": request.path, "headers": request.headers}), request.body.decode(), f"key: {body}"]
    return Reply(400 if "told" in request.path else 200, {"error": told}, headers={"x-request-id": f"req {key}"})


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """The vendor."""
    running = LoopbackServer()
    running.route("POST", "/v1/{how}")(echo)
    with running:
        yield running


@pytest.fixture
def studio(folder: Path, tmp_path: Path, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose every corner has a secret in it; the working folder of what is run."""
    package, info = tmp_path / "site" / "leaky", tmp_path / "site" / "leaky-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "plugin.toml").write_text(TOML)
    (package / "__init__.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[callsheet]\nleaky = leaky\n")
    values = list(PLANTED.values())
    given = tmp_path / "given"  # what is planted lies here, and only what callsheet makes is searched
    (given / "config" / "callsheet").mkdir(parents=True)
    (given / "x.env").write_text(f"LEAKY_FILE={values[1]}\n")
    shout = f"import sys; print({values[3]!r}, file=sys.stderr); sys.exit(3)"
    commands = {"LEAKY_COMMAND": ["echo", values[2]], "LEAKY_BROKEN": [sys.executable, "-c", shout]}
    lines = [f"{name} = {json.dumps(words)}" for name, words in commands.items()]
    (given / "config" / "callsheet" / "config.toml").write_text("\n".join(["[secrets.commands]", *lines]))
    (given / "film").mkdir()
    (given / "film" / "sheet.toml").write_text(SHEET.replace("OPTION", values[9]))
    (given / "film" / "callsheet.toml").write_text("")
    environ = {
        "PYTHONPATH": str(tmp_path / "site"), "CALLSHEET_PLUGINS": "leaky", "CALLSHEET_DEBUG": "1",
        "XDG_CONFIG_HOME": str(given / "config"), "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "LEAKY_BASE_URL": server.origin, "LEAKY_KEY": values[0], "LEAKY_EVENTS": str(tmp_path / "events.txt"),
        "LEAKY_TEMPLATE": values[8], "LEAKY_OPTION": values[9],
        "PLANTED_URL": values[4], "PLANTED_HEADER": values[5], "PLANTED_EXCEPTION": values[6], "PLANTED_BODY": values[7],
        "PLANTED_OBSERVER": values[10], "PLANTED_PASSWORD": values[11],
    }  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return given


def callsheet(*words: object, code: int) -> subprocess.CompletedProcess[bytes]:
    """One command line in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "callsheet", *map(str, words)], capture_output=True)
    assert done.returncode == code, done.stderr.decode() + done.stdout.decode()
    return done


def found(text: bytes) -> list[str]:
    """Which secrets stand in it, in any form."""
    return [place for place, secret in PLANTED.items() if any(form in text for form in disguises(secret))]


def test_a_failing_run_tells_no_secret(studio: Path, tmp_path: Path, server: LoopbackServer) -> None:
    """Neither on the terminal, at the most talkative, nor in any file; nor do the commands that look at it later."""
    film, flags = studio / "film", ("--env-file", studio / "x.env", "--log-level", "debug")
    asked = ("run", film, "--input", f"token={list(PLANTED.values())[8]}", "--yes")
    told = [callsheet(*flags, *asked, code=5), callsheet(*flags, *asked, "--json", code=5)]
    sent = b"".join(request.body for request in server.journal)
    assert len(server.journal) >= 5
    assert set(found(sent)) == {"an input in a template", "an option"}
    later = (("runs", "list", "--json"), ("runs", "show", "--json"), ("runs", "events", "--jsonl"), ("jobs", "--json"))
    told += [callsheet(*words, "--project", film, code=0) for words in later]
    told.append(callsheet(*flags, "secrets", "list", "--project", film, code=0))
    told.append(callsheet(*flags, "secrets", "check", "--project", film, "--json", code=3))
    told.append(callsheet(*flags, "resume", json.loads(told[1].stdout)["run"], "--project", film, code=2))
    log = told[0].stderr.decode()
    shown = ("call.sending [redacted]", "call.sent", "'Authorization': '[redacted]'", "observer [redacted]")
    shown += ("warning event job.started at https://[redacted]@proxy.test/",)
    assert [word for word in shown if word not in log] == []
    assert "run the sheet again with the same --input" in told[-1].stderr.decode()
    assert [found(each.stdout + each.stderr) for each in told] == [[]] * len(told)
    apart = {studio / "x.env", film / "sheet.toml", studio / "config" / "callsheet" / "config.toml"}
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file not in apart]
    names = {file.name for file in files}
    assert {"ledger.sqlite3", "manifest.json", "report.html", "events.txt"} <= names
    assert {str(file): found(file.read_bytes()) for file in files if found(file.read_bytes())} == {}


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """A search that finds nothing proves something only if it would."""
    for place, secret in PLANTED.items():
        for form in disguises(secret):
            assert place in found(b"<" + form + b">")
    key = next(iter(PLANTED.values()))
    assert found(base64.b64encode(f"me:{key}".encode())) == ["the key, from the environment"]
