"""Telemetry of whole runs: by the SDK's in-memory exporter, and at a collector that a command sends to."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from callsheet.testing import LoopbackServer, Reply

ROOT = Path(__file__).parent.parent
EXAMPLE, PAGE = ROOT / "examples" / "volcano", ROOT / "docs" / "how-to" / "watch-with-opentelemetry.md"
CODE = [ROOT / "core" / "src" / "callsheet" / name for name in ("telemetry.py", "performing.py", "runs.py")]
KEY = "a-key-for-telemetry-9f8e7d6c"
SHEET = """
[producers.words]
operation = "text.generate"
models = ["openai:gpt-5-mini"]
prompt = "Say something of lava, but not that {secret}."
[producers.vector]
operation = "text.embed"
models = ["openai:text-embedding-3-small"]
texts = ["{{{{ words }}}}"]
[producers.picture]
operation = "image.generate"
models = ["mock:image"]
prompt = "{{{{ words }}}}"
"""
SECRET = "the mountain snores"
WATCHED = """
import asyncio, json, sys
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
metrics.set_meter_provider(MeterProvider([reader]))

import callsheet

async def main():
    async with callsheet.open() as client:
        with trace.get_tracer("app").start_as_current_span("app"):
            return await client.run(callsheet.CallSheet.load("."))

run = asyncio.run(main())
spans = [json.loads(span.to_json()) for span in exporter.get_finished_spans()]
print(json.dumps({"run": run.id, "spans": spans, "metrics": json.loads(reader.get_metrics_data().to_json())}))
"""


@pytest.fixture(scope="module")
def vendor():
    """Plays the little of a vendor that the sheet needs."""
    server = LoopbackServer()
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hot"}]}
    answer = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "gpt-5-mini-2026",
        "output": [message],
    }
    answer["usage"] = {"input_tokens": 1000, "output_tokens": 2000, "total_tokens": 3000}
    vectors = {
        "data": [{"index": 0, "embedding": [0.5]}],
        "model": "e",
        "usage": {"prompt_tokens": 10, "total_tokens": 10},
    }
    server.route("POST", "/responses")(lambda _: Reply(200, answer))
    server.route("POST", "/embeddings")(lambda _: Reply(200, vectors))
    with server:
        yield server


@pytest.fixture(scope="module")
def watched(tmp_path_factory, vendor):
    """What a program with the SDK was told of a run (its id, spans, metrics), as data and as text."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "sheet.toml").write_text(SHEET.format(secret=SECRET), encoding="utf-8")
    environ = {**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": vendor.origin}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stdout


def test_spans_of_a_run(watched):
    """One trace, below the program's own span: the run, its jobs, their attempts."""
    told, _ = watched
    spans = {span["context"]["span_id"]: span for span in told["spans"]}
    assert len({span["context"]["trace_id"] for span in spans.values()}) == 1

    def line(span):
        above = spans.get(span["parent_id"])
        return (line(above) if above else ()) + (span["name"],)

    run = ("app", "invoke_workflow sheet.toml")
    assert {line(span) for span in spans.values()} == {
        ("app",),
        run,
        (*run, "job text.generate"),
        (*run, "job text.generate", "chat gpt-5-mini"),
        (*run, "job text.embed"),
        (*run, "job text.embed", "embeddings text-embedding-3-small"),
        (*run, "job image.generate"),
        (*run, "job image.generate", "generate_content image"),
    }
    by_name = {span["name"]: span["attributes"] for span in spans.values()}
    assert by_name["invoke_workflow sheet.toml"]["callsheet.run.id"] == told["run"]
    chat = by_name["chat gpt-5-mini"]
    assert (chat["gen_ai.provider.name"], chat["server.address"]) == ("openai", "127.0.0.1")
    assert (chat["gen_ai.usage.input_tokens"], chat["gen_ai.usage.output_tokens"]) == (1000, 2000)
    assert (chat["gen_ai.response.id"], chat["gen_ai.response.model"]) == ("resp_1", "gpt-5-mini-2026")
    assert chat["callsheet.cost.usd"] > 0
    picture = by_name["generate_content image"]
    assert (picture["callsheet.mode"], picture["gen_ai.output.type"]) == ("mock", "image")
    assert picture["callsheet.artifacts.bytes"] > 0
    assert not [name for name in picture if "usage" in name or "cost" in name]


def test_metrics_of_a_run(watched):
    """What the provider counted, and what it cost; a mocked call is in none of them."""
    told, _ = watched
    points = {
        metric["name"]: metric["data"]["data_points"]
        for resource in told["metrics"]["resource_metrics"]
        for scope in resource["scope_metrics"]
        for metric in scope["metrics"]
    }
    chat = next(s["attributes"] for s in told["spans"] if s["name"] == "chat gpt-5-mini")
    model = "gen_ai.request.model"
    cost = {point["attributes"][model]: point["value"] for point in points["callsheet.cost"]}
    assert cost["gpt-5-mini"] == chat["callsheet.cost.usd"]
    assert set(cost) == {"gpt-5-mini", "text-embedding-3-small"}
    tokens = {
        (point["attributes"][model], point["attributes"]["gen_ai.token.type"]): point["sum"]
        for point in points["gen_ai.client.token.usage"]
    }
    assert tokens["gpt-5-mini", "input"] == 1000
    assert tokens["gpt-5-mini", "output"] == 2000
    durations = points["gen_ai.client.operation.duration"]
    assert {(point["attributes"][model], point["count"]) for point in durations} == {
        ("gpt-5-mini", 1),
        ("text-embedding-3-small", 1),
    }


def test_neither_prompts_nor_answers_nor_keys_are_told(watched):
    """Not in any attribute of any span or metric."""
    _, text = watched
    assert SECRET not in text
    assert KEY not in text
    assert '"hot"' not in text


def test_a_command_sends_its_spans_to_a_collector(tmp_path):
    """The example, mocked, with the plugin and one variable: all its jobs arrive before the command ends."""
    shutil.copytree(EXAMPLE, tmp_path / "volcano", ignore=shutil.ignore_patterns(".callsheet", "output*"))
    collector = LoopbackServer()
    for signal in ("traces", "metrics"):
        collector.route("POST", f"/v1/{signal}", signal)(lambda _: Reply(200, b""))
    with collector:
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin}
        command = [sys.executable, "-m", "callsheet", "run", "volcano", "--mode", "mock", "--json"]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        arrived = [ExportTraceServiceRequest.FromString(each.body) for each in collector.asked("traces")]
    spans = [s for each in arrived for r in each.resource_spans for scope in r.scope_spans for s in scope.spans]
    names = [span.name.partition(" ")[0] for span in spans]
    assert {name: names.count(name) for name in set(names)} == {
        "invoke_workflow": 1,
        "job": 14,
        "chat": 4,
        "generate_content": 10,
    }
    assert json.loads(done.stdout)["executed"] == 14


def names_in(heading: str) -> set[str]:
    """The names in the first column of the table under this heading of the page."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([\w.]+)`", row)}


def test_the_page_has_every_name(watched):
    """What a run sends stands in its tables, and what stands there is in the code."""
    told, _ = watched
    metrics = [m for r in told["metrics"]["resource_metrics"] for s in r["scope_metrics"] for m in s["metrics"]]
    sent = {name for span in told["spans"] for name in span["attributes"]}
    assert sent <= names_in("Spans")
    assert {metric["name"] for metric in metrics} <= names_in("Metrics")
    code = "".join(file.read_text(encoding="utf-8") for file in CODE)
    words = {word for name in names_in("Spans") | names_in("Metrics") for word in name.split(".")}
    assert [word for word in words if not re.search(rf"\b{word}\b", code)] == []


def test_the_program_of_the_page_sends_its_spans(tmp_path):
    """As it stands there, to the collector that its environment names."""
    code = PAGE.read_text(encoding="utf-8").partition("```python\n# film.py\n")[2].partition("```")[0]
    collector = LoopbackServer()
    collector.route("POST", "/v1/traces", "traces")(lambda _: Reply(200, b""))
    with collector:
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.origin}
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, check=True)
        arrived = [ExportTraceServiceRequest.FromString(each.body) for each in collector.asked("traces")]
    spans = [s for each in arrived for r in each.resource_spans for scope in r.scope_spans for s in scope.spans]
    assert [span.name for span in spans] == ["chat text", "job text.generate", "the whole film"]
