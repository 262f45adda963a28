"""A vendor without a package: four lines of callsheet.toml, its own key to its own origin, and nothing of the lender's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

PLUGIN_TOML = """
api = 1
provides = ["models"]
wires = ["answers"]
[provider]
name = "acme"
origin = "https://api.acme.example/v1"
origin_env = "ACME_BASE_URL"
secrets = ["ACME_API_KEY"]
"""
CODE = '''
"""Answers, for whoever speaks like Acme."""
from callsheet.plugin import Expected, HandlerSpec, JobResult, Operation, ProviderRequest, TextArtifact, hookimpl, reply_error


class Answers:
    """One request, one answer."""

    def prepare(self, job):
        body = {"model": job.ref.model, "text": job.inputs.prompt}
        return ProviderRequest(job.ref, job.operation, body, (Expected("text", "text/plain"),))

    async def invoke(self, request, context):
        key = await context.secrets.key()
        headers = {"authorization": f"Bearer {key.reveal()}"} if key else {}
        reply = await context.http.send("POST", "/answers", json=request.body, headers=headers)
        if reply.status >= 400:
            raise reply_error(reply, "no", ref=str(request.ref))
        return JobResult((TextArtifact(reply.json()["text"]),))


@hookimpl
def callsheet_register_handlers():
    """One wire."""
    return [HandlerSpec("acme", Answers, wire="answers", operations=frozenset({Operation.TEXT_GENERATE}))]
'''
KEYS = {"ACME_API_KEY": "the-lenders-own-key-1", "GROQ_API_KEY": "the-borrowers-key-22"}


class Vendor(BaseHTTPRequestHandler):
    """Answers with the model's name, and keeps what it was asked."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, self.headers["authorization"], body["model"]))
        answer = json.dumps({"text": f"{body['model']} says hello"}).encode()
        status = 401 if self.headers["authorization"] == "Bearer wrong-key-wrong-key" else 200
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Silence."""


@pytest.fixture
def vendor():
    """The vendor's server on the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def project(tmp_path, vendor):
    """A project with two providers that borrow Acme's wire: one with a key, one without."""
    folder = tmp_path / "site"
    package = folder / "callsheet_acme"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(CODE)
    (package / "plugin.toml").write_text(PLUGIN_TOML)
    info = folder / "callsheet_acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: callsheet-acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[callsheet]\nacme = callsheet_acme\n")
    home = tmp_path / "project"
    home.mkdir()
    base = f"http://localhost:{vendor.server_port}"
    (home / "callsheet.toml").write_text(
        f'[providers.groq]\nwire = "acme:answers"\nbase_url = "{base}/groq/v1"\nsecret = "GROQ_API_KEY"\n'
        f'[providers.local]\nwire = "acme:answers"\nbase_url = "{base}/local"\n'
    )
    return home


def run(project, *arguments, code=0, **environ):
    """The command's streams, with the lender installed and its own URL elsewhere."""
    env = {**os.environ, "PYTHONPATH": str(project.parent / "site"), "ACME_BASE_URL": "http://127.0.0.1:9/no"} | environ
    command = [sys.executable, "-m", "callsheet", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=project)
    assert done.returncode == code, done.stderr + done.stdout
    return done


def call(project, ref, *more, **options):
    """One call of a model that no row knows; its wire does one thing only."""
    return run(project, "call", ref, "-p", "prompt=hello", *more, **options)


def test_the_key_and_the_place_are_the_borrowers(project, vendor):
    """The lender's key and URL are set, and neither is used."""
    assert "llama-3 says hello" in call(project, "groq:llama-3", **KEYS).stdout
    assert vendor.asked == [("/groq/v1/answers", f"Bearer {KEYS['GROQ_API_KEY']}", "llama-3")]


def test_a_server_without_a_key_gets_none(project, vendor):
    """Not even the lender's."""
    assert "qwen3:4b says hello" in call(project, "local:qwen3:4b", **KEYS).stdout
    assert vendor.asked == [("/local/answers", None, "qwen3:4b")]


def test_a_missing_key_is_named(project, vendor):
    """The variable and the provider; nothing is sent."""
    done = call(project, "groq:llama-3", code=3, ACME_API_KEY=KEYS["ACME_API_KEY"])
    assert "(for groq) needs the secret GROQ_API_KEY: set it with `export GROQ_API_KEY=" in done.stderr
    assert vendor.asked == []


def test_a_refused_key_is_the_borrowers_error(project):
    """The reference is groq's, and the key is nowhere."""
    done = call(project, "groq:llama-3", "--json", code=3, GROQ_API_KEY="wrong-key-wrong-key")
    error = json.loads(done.stdout)["error"]
    assert (error["kind"], error["sent"], error["ref"]) == ("authentication", "rejected", "groq:llama-3")
    assert "wrong-key" not in done.stdout + done.stderr


def test_mocked_it_is_mapped_by_the_lender(project, vendor):
    """No key, no request, and no warning that the mapping is unchecked."""
    document = json.loads(call(project, "groq:llama-3", "--mode", "mock", "--json").stdout)
    assert (document["ref"], document["warnings"]) == ("groq:llama-3", [])
    assert vendor.asked == []


def test_what_is_there_is_told(project):
    """`models` notes the providers that take every name; `plugins doctor` names a lender that is not there."""
    told = run(project, "models", "--provider", "groq").stderr
    assert "groq takes every model name, over the wire acme:answers" in told
    assert "local takes" not in told
    with (project / "callsheet.toml").open("a") as file:
        file.write('[providers.odd]\nwire = "nowhere:chat"\nbase_url = "https://odd.example"\n')
    findings = json.loads(run(project, "plugins", "doctor", "--json", code=1).stdout)["findings"]
    assert [f["problem"] for f in findings if f["kind"] == "provider"] == [
        "[providers.odd] of callsheet.toml: no usable plugin provides 'nowhere', whose wire it wants: install it"
    ]
