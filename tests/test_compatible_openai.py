"""The page on compatible vendors, done as its reader would: four lines of callsheet.toml, and a server that speaks like OpenAI."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from decimal import Decimal

import pytest
from references.pages import read

import callsheet
from callsheet.http import ServerSentEvent
from callsheet.testing import Exchange, LoopbackServer, Reply, event_stream

PAGE = read("how-to/compatible-vendor.md")
FOUR_LINES, SHEET, ON_THIS_MACHINE, ROW = re.findall(r"```toml\n#[^\n]*\n(.*?)```", PAGE, re.DOTALL)
KEY = "the-vendors-own-key-77"
MODEL = "llama-3.3-70b-versatile"


class Compatible(LoopbackServer):
    """A vendor of its own, with the one endpoint that such vendors have. It answers with what it was asked."""

    prefix = "/openai/v1"

    def __init__(self, key: str = "") -> None:
        super().__init__()
        self.key = key
        self.route("POST", "/chat/completions", "chat", paid=True)(self.chat)

    def chat(self, request: Exchange) -> Reply | dict:
        """A completion, whole or in pieces."""
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return Reply(
                401, {"error": {"message": "wrong key", "type": "invalid_request_error", "code": "invalid_api_key"}}
            )
        body = request.json
        text = f"{body['messages'][-1]['content']} Said {body['model']}."
        if "response_format" in body:
            text = json.dumps({"title": "Lava"})
        usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
        head = {"id": "c-1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        head["object"] = "chat.completion.chunk"
        pieces = [{"index": 0, "delta": {"content": f"{word} "}} for word in text.split()]
        pieces.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        chunks = [{**head, "choices": [piece]} for piece in pieces] + [{**head, "choices": [], "usage": usage}]
        return Reply(
            200, event_stream([ServerSentEvent(data=json.dumps(c)) for c in chunks] + [ServerSentEvent(data="[DONE]")])
        )


@pytest.fixture
def vendor():
    """The vendor's server."""
    with Compatible(KEY) as server:
        yield server


@pytest.fixture
def project(folder, vendor):
    """A folder with the page's four lines, at the vendor's address; its key is in the environment."""
    (folder / "callsheet.toml").write_text(at(FOUR_LINES, vendor))
    os.environ["GROQ_API_KEY"] = KEY
    os.environ.pop("OPENAI_API_KEY", None)
    return folder


def at(text: str, vendor: LoopbackServer) -> str:
    """The page's table, with the address of a server here."""
    return re.sub(r'base_url = "[^"]+"', f'base_url = "{vendor.origin}"', text)


def run(*arguments: str, code: int = 0, given: str = "") -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "callsheet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, input=given)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout


def test_four_lines_are_enough():
    """A table's head and its three keys."""
    assert len(FOUR_LINES.strip().splitlines()) == 4
    assert list(tomllib.loads(FOUR_LINES)["providers"]["groq"]) == ["wire", "base_url", "secret"]


def test_its_key_goes_there_after_a_word_of_the_user(project):
    """As the page says: the file as it stands there sends no key before `callsheet trust`."""
    (project / "callsheet.toml").write_text(FOUR_LINES)
    error = json.loads(run("call", f"groq:{MODEL}", "-p", "prompt=x", "--json", code=3))["error"]
    assert "callsheet trust" in error["message"]
    assert json.loads(run("trust", "--yes", "--json"))["places"][0]["trusted"] is True


def test_its_models_can_be_called(project, vendor):
    """Any name, at the vendor's own place with its own key."""
    assert run("call", f"groq:{MODEL}", "-p", "prompt=Tell me about lava.") == f"Tell me about lava. Said {MODEL}.\n"
    (asked,) = vendor.journal
    assert (asked.path, asked.headers["authorization"]) == ("/chat/completions", f"Bearer {KEY}")
    assert asked.json["model"] == MODEL


def test_its_models_can_be_read_while_they_answer(project, vendor):
    """On the command line, and event by event in a program."""
    told = run("call", f"groq:{MODEL}", "-p", "prompt=What is ash?", "--stream")
    assert told == f"What is ash? Said {MODEL}. \n"
    assert vendor.journal[0].json["stream"] is True

    async def read_along() -> list[object]:
        async with callsheet.open(project) as client:
            return [event async for event in client.stream(f"groq:{MODEL}", prompt="One two")]

    events = asyncio.run(read_along())
    assert [e.text for e in events if isinstance(e, callsheet.TextDelta)] == ["One ", "two ", "Said ", f"{MODEL}. "]
    assert isinstance(events[-1], callsheet.StreamFinished)


def test_its_models_can_be_talked_with(project, vendor):
    """With what was said before."""
    run("chat", f"groq:{MODEL}", given="What is lava?\n")
    run("chat", "--continue", given="And magma?\n")
    assert [each["content"] for each in vendor.journal[1].json["messages"]][::2] == ["What is lava?", "And magma?"]


def test_its_models_stand_in_a_sheet(project, vendor):
    """The producer of the page, and another with a schema and fan-out; the second run pays for nothing."""
    (project / "prompts").mkdir()
    (project / "prompts/script.md").write_text("Write about {{ inputs.topic }}.")
    more = f"""
[producers.title]
operation = "text.generate"
models = ["groq:{MODEL}"]
for_each = 2
prompt = "A title, number {{{{ index }}}}, for: {{{{ script }}}}"
output_schema = {{ type = "object", properties = {{ title = {{ type = "string" }} }}, required = ["title"], additionalProperties = false }}
"""
    (project / "sheet.toml").write_text('[inputs]\ntopic = "lava"\n' + SHEET + more)
    first = json.loads(run("run", ".", "--json", "--yes"))
    assert (first["status"], first["executed"]) == ("succeeded", 3), first
    assert (project / "output/script.txt").read_text().strip() == f"Write about lava. Said {MODEL}."
    assert json.loads((project / "output/title-1.json").read_text()) == {"title": "Lava"}
    assert len(vendor.paid) == 3
    again = json.loads(run("run", ".", "--json", "--yes"))
    assert (again["executed"], again["reused"], len(vendor.paid)) == (0, 3, 3)


def test_what_it_refuses_is_its_own_error(project, vendor):
    """The provider of the configuration is named, and the key is not shown."""
    os.environ["GROQ_API_KEY"] = "another-key-entirely-1"
    error = json.loads(run("call", f"groq:{MODEL}", "-p", "prompt=x", "--json", code=3))["error"]
    assert (error["kind"], error["sent"], error["ref"]) == ("authentication", "rejected", f"groq:{MODEL}")
    assert "another-key" not in json.dumps(error)


def test_a_server_on_this_machine_needs_no_key(folder):
    """The page's second table; the lender's key goes nowhere."""
    os.environ["OPENAI_API_KEY"] = "the-lenders-key-1"
    with Compatible() as server:
        (folder / "callsheet.toml").write_text(at(ON_THIS_MACHINE, server))
        assert run("call", "ollama:qwen3:4b", "-p", "prompt=Hello") == "Hello Said qwen3:4b.\n"
    assert "authorization" not in server.journal[0].headers


def test_a_row_gives_a_model_a_price_and_a_short_name(project, vendor):
    """The page's row, below the four lines."""
    with (project / "callsheet.toml").open("a") as file:
        file.write(ROW)
    document = json.loads(run("call", "llama", "-p", "prompt=x", "--json"))
    assert document["ref"] == f"groq:{MODEL}"
    assert Decimal(document["cost"]["usd"]) == 7 * Decimal("0.00000059") + 5 * Decimal("0.00000079")
