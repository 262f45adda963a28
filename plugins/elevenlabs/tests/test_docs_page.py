"""The plugin's page says what its code and its rows say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from elevenlabs_counterpart.stage import rows

from callsheet_elevenlabs import callsheet_register_handlers, music, sound, speech, transcription
from callsheet_elevenlabs.dialogue import LONGEST_SCRIPT, MOST_VOICES
from callsheet_elevenlabs.errors import _CODES

PAGE = (Path(__file__).resolve().parents[1] / "docs.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())
CODE = re.compile(r"`([^`]+)`")


def table(first: str) -> list[list[str]]:
    """The rows of the table whose head begins so."""
    lines = PAGE.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_wires_and_models_are_those_of_the_code():
    """Each wire with its operation, and each row with its wire."""
    told = {row[1].strip("`"): row[0].strip("`") for row in table("operation")}
    specs = [spec for spec in callsheet_register_handlers() if spec.wire != "*"]
    assert told == {spec.wire: str(*spec.operations) for spec in specs}
    models = {model: row[1].strip("`") for row in table("operation") for model in CODE.findall(row[3])}
    assert models == {row.model: row.wire for row in rows().values()}


def test_codes_and_kinds_are_those_of_the_code():
    """Every code of the vendor, with the kind that it becomes."""
    told = {code: row[1].strip("`") for row in table("code") for code in CODE.findall(row[0])}
    assert told == {code: str(kind) for code, kind in _CODES.items()}


def test_every_price_has_its_day_and_its_unit_is_counted():
    """The four units of the page, all read on one day."""
    prices = [price for row in rows().values() for price in row.price]
    assert {price.per for price in prices} == {"character", "run", "minute", "hour"}
    assert {price.as_of for price in prices} == {"2026-06-30"}
    assert all(row.price for row in rows().values())


@pytest.mark.parametrize(
    "words",
    [
        f"{rows()['eleven_v3'].data['longest']:,} characters (`eleven_v3`)",
        f"{rows()['eleven_multilingual_v2'].data['longest']:,} (`eleven_multilingual_v2`)",
        f"{speech.SLOWEST} to {speech.FASTEST}, one of the `voice_settings`",
        f"0 to {speech.LARGEST_SEED}",
        f"At most {LONGEST_SCRIPT:,} characters and {MOST_VOICES} voices",
        f"{sound.SHORTEST:g} to {sound.LONGEST:g} seconds, a song {music.SHORTEST:g} to {music.LONGEST:g}",
        f"up to {transcription.LARGEST_FILE // 10**9} GB",
    ],
)
def test_limits_are_those_of_the_code(words):
    """A number that changes in the code changes on the page."""
    assert words in WORDS
