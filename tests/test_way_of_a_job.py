"""The drawing of a job's way is the way of a real job: its modules are entered in the order in which they stand there."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from pathlib import Path

import pytest
from references.pages import read, section

import callsheet

PACKAGE = Path(callsheet.__file__).parent
INSIDE = f"{PACKAGE}{os.sep}"  # beside it may lie callsheet_mock
SHEET = """
[producers.clip]
operation = "video.generate"
models = ["mock:video"]
image = "photo.png"
prompt = "a volcano, {{ 1 + 1 }}"
duration = 2
"""


def drawn() -> list[str]:
    """The modules of the drawing, from the top."""
    text = section(read("explanation/architecture.md"), "The way of a job, in a straight line")
    rows = re.findall(r"^ +│ +((?:\w+, )*\w+)(?:  |$)", text.split("```text")[1].split("```")[0], re.MULTILINE)
    return [name for row in rows for name in row.split(", ")]


class Steps:
    """Notes each change from one module of callsheet to another, in all threads."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def __call__(self, frame, event, _argument) -> None:
        file = frame.f_code.co_filename
        if event == "call" and frame.f_code.co_name != "<module>" and file.startswith(INSIDE):
            module = Path(file).relative_to(PACKAGE).parts[0].removesuffix(".py")
            if self.found[-1:] != [module]:
                self.found.append(module)

    def __enter__(self) -> list[str]:
        threading.setprofile(self)
        sys.setprofile(self)
        return self.found

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


@pytest.fixture
def sheet(folder):
    """A folder with a sheet whose one job is polled for."""
    (folder / "sheet.toml").write_text(SHEET)
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 32)
    return folder


def test_a_job_takes_the_way_that_is_drawn(sheet):
    """From the sheet to the files in the output folder."""

    async def run() -> callsheet.Run:
        async with callsheet.open(sheet) as client:
            with steps as found:
                done = await client.run(callsheet.CallSheet.load(sheet), callsheet.RunRequest(mode=callsheet.Mode.MOCK))
            passed.extend(found)
            return done

    steps, passed = Steps(), []
    assert asyncio.run(run()).files
    told, start = drawn(), passed.index("runner")
    middle = told.index("runner")
    for part, names in ((passed[:start], told[:middle]), (passed[start:], told[middle:])):
        assert [name for name in dict.fromkeys(part) if name in names] == names
