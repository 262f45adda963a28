"""The plugin's page says what its code and its rows say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from callsheet.plugin import HttpReply, kind_of_status
from callsheet_openai import callsheet_register_handlers
from callsheet_openai.batch import MOST_BYTES as BATCH_BYTES
from callsheet_openai.batch import BatchWire
from callsheet_openai.chat import _NOT_HERE as NOT_IN_CHAT
from callsheet_openai.embeddings import MOST_TEXTS
from callsheet_openai.errors import _CODES, vendor_error
from callsheet_openai.images import LARGEST_IMAGE, LARGEST_MASK, LONGEST_PROMPT, MOST_IMAGES
from callsheet_openai.messages import MOST_BYTES
from callsheet_openai.moderation import LARGEST_IMAGE as LARGEST_MODERATED
from callsheet_openai.responses import _NOT_HERE as NOT_IN_RESPONSES
from callsheet_openai.responses import LEAST_TOKENS
from callsheet_openai.speech import LONGEST_TEXT
from callsheet_openai.transcription import LARGEST_FILE
from callsheet_openai.video import LARGEST_IMAGE as LARGEST_FRAME

PACKAGE = Path(__file__).resolve().parents[1]
PAGE = (PACKAGE / "docs.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())
FOLDER = PACKAGE / "src" / "callsheet_openai"
ROWS = [
    row
    for file in sorted((FOLDER / "models").glob("*.toml"))
    for row in tomllib.loads(file.read_text(encoding="utf-8"))["models"]
]
CODE = re.compile(r"`([^`]+)`")


def table(first: str) -> list[list[str]]:
    """The rows of the table whose head begins so."""
    lines = PAGE.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_wires_are_those_of_the_code():
    """Each wire with its operation, whether it streams, and whether it goes by batch."""
    told = {row[1].strip("`"): (row[0].strip("`"), row[3] != "no", row[4] != "no") for row in table("operation")}
    real = {}
    for spec in callsheet_register_handlers():
        if spec.wire != "*":
            handler = spec.factory()
            (operation,) = spec.operations
            real[spec.wire] = (str(operation), hasattr(handler, "stream"), isinstance(handler, BatchWire))
    assert told == real


def test_codes_and_kinds_are_those_of_the_code():
    """Every code of the vendor, with the kind that it becomes."""
    told = {code: row[1].strip("`") for row in table("code") for code in CODE.findall(row[0])}
    assert told == {code: str(kind) for code, kind in _CODES.items()}


def test_statuses_and_kinds_are_those_of_the_core():
    """Where the vendor gives no code."""
    told = {int(status): CODE.findall(row[1])[0] for row in table("status") for status in row[0].split(",")}
    assert told == {status: str(kind_of_status(status)) for status in told}
    assert len(told) == 14


async def test_a_lost_job_is_another_404(opened):
    """As the page says of it."""
    from openai_counterpart.stage import context, job

    async with opened() as client:
        reply = HttpReply(404, {}, b"{}")
        assert vendor_error(reply, context(client, job("gpt-6-luna", prompt="x")), lost=True).kind == "job_lost"


def test_models_that_end_are_those_of_the_rows():
    """Each on its day; none is missing."""
    told = {model: row[0] for row in table("day") for model in CODE.findall(row[1])}
    ends = {row["model"]: row["deprecated"] for row in ROWS if row.get("deprecated")}
    assert told == {model: re.search(r"\d{4}-\d\d-\d\d", text)[0] for model, text in ends.items()}


@pytest.mark.parametrize(("wire", "fields"), [("responses", NOT_IN_RESPONSES), ("chat", NOT_IN_CHAT)])
def test_fields_that_a_wire_has_not(wire, fields):
    """What the page says is left out is left out."""
    row = next(row for row in table("where") if row[0] == f"`{wire}`" and "left out" in row[2])
    assert set(CODE.findall(row[1])) <= fields | {"seed"}


def test_prices_are_of_the_day_on_the_page():
    """The introduction names the one day on which all of them were read, and the batch's share."""
    days = {price["as_of"] for row in ROWS for price in row.get("price", ())}
    assert days == {"2026-11-21"}
    manifest = tomllib.loads((FOLDER / "plugin.toml").read_text(encoding="utf-8"))
    batch = manifest["provider"]["batch"]
    assert (batch["max_requests"], batch["max_bytes"], batch["price_factor"]) == (50_000, BATCH_BYTES, 0.5)
    assert set(manifest["wires"]) == {"chat", "responses"}
    assert {row["data"]["long_context"] for row in ROWS if "long_context" in row.get("data", {})} == {272_000}


@pytest.mark.parametrize(
    "words",
    [
        f"at most {MOST_BYTES >> 20} MiB each",
        f"at most {LONGEST_PROMPT:,} characters",
        f"up to {MOST_IMAGES} pictures",
        f"WebP, {LARGEST_IMAGE // 10**6} MB each",
        f"PNG of at most {LARGEST_MASK // 10**6} MB",
        f"at most {LONGEST_TEXT:,} characters",
        f"A file has at most {LARGEST_FILE >> 20} MiB",
        f"up to {MOST_TEXTS:,} texts",
        f"images of at most {LARGEST_MODERATED // 10**6} MB",
        f"WebP, {LARGEST_FRAME // 10**6} MB)",
        f"`max_tokens` below {LEAST_TOKENS}",
        f"{BATCH_BYTES // 10**6} MB",
    ],
)
def test_limits_are_those_of_the_code(words):
    """A number that changes in the code changes on the page."""
    assert words in WORDS
