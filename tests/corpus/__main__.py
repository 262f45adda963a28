"""Makes rows of many real models, calls each one mocked, and prints what came of it: `nox -s corpus`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from calls import fault, least, most
from documents import VARIABLE, documents, folder, kind_of_output

from callsheet.client import Client
from callsheet.config import load_settings
from callsheet.errors import CallsheetError
from callsheet.model_descriptions import describe
from callsheet.model_schemas import input_schema
from callsheet.model_shelf import Shelf, Wishes
from callsheet.project import Project
from callsheet.settings import Settings

AT_ONCE = 100
"""Models in one project: each row that is added looks at all the others."""
CHECKED = 10
"""Of that many models, one has its files opened by other programs."""


@dataclass
class Tally:
    """What came of the models, by their kind of output."""

    seen: Counter = field(default_factory=Counter)
    rows: Counter = field(default_factory=Counter)
    good: Counter = field(default_factory=Counter)
    warned: Counter = field(default_factory=Counter)
    causes: Counter = field(default_factory=Counter)
    examples: dict = field(default_factory=dict)

    def fail(self, model: str, cause: str) -> None:
        """Count a failure by its cause, without the model's name in it."""
        short = cause.replace(model, "…").partition("\n")[0][:140]
        self.causes[short] += 1
        self.examples.setdefault(short, model)

    def table(self) -> str:
        """As Markdown."""
        lines = [
            "| output | models | rows | mocked runs that are good | of these with a warning |",
            "|---|--:|--:|--:|--:|",
        ]
        for kind, count in self.seen.most_common():
            lines.append(f"| {kind} | {count} | {self.rows[kind]} | {self.good[kind]} | {self.warned[kind]} |")
        sums = (sum(each.values()) for each in (self.seen, self.rows, self.good, self.warned))
        lines.append(f"| all | {' | '.join(map(str, sums))} |")
        lines += ["", "| failures | cause | for example |", "|--:|---|---|"]
        lines += [f"| {count} | {cause} | {self.examples[cause]} |" for cause, count in self.causes.most_common()]
        return "\n".join(lines)


async def examine(models: list, tally: Tally, root: Path) -> None:
    """Write the rows of some models into a project, and call each of them."""
    project = Project.at(root)
    root.mkdir()
    shelf, kinds = Shelf(root / "models"), {}
    async with await Client.open(project, Settings(), durable=False) as client:
        for model, document in models:
            kind = kind_of_output(document)
            tally.seen[kind] += 1
            try:
                drafted = shelf.draft(
                    "replicate", await describe(client.runtime, "replicate", model, document), Wishes()
                )
                shelf.write(drafted)
            except CallsheetError as error:
                tally.fail(model, f"no row: {error}")
                continue
            tally.rows[kind] += 1
            kinds[drafted.info.model] = kind
    async with await Client.open(project, load_settings(root), durable=False, sleep=_at_once) as client:
        for number, (model, kind) in enumerate(kinds.items()):
            await _call(client, model, kind, tally, thoroughly=number % CHECKED == 0)


async def _call(client: Client, model: str, kind: str, tally: Tally, *, thoroughly: bool) -> None:
    """With the least and with the most that it takes: a wrong guess shows in a refusal by the model's own schema."""
    info = client.catalog.get(client.catalog.find(f"replicate:{model}"))
    schema, warned = dict(input_schema(info).whole), False
    for fill in (least, most):
        attributes, options = fill(info, schema)
        try:
            result = await client.call(info.name, mode="mock", options=options, **attributes)
        except CallsheetError as error:
            tally.fail(model, f"{fill.__name__}: {type(error).__name__}: {error}")
            return
        problem = fault(info, result.artifacts, thoroughly=thoroughly)
        if problem:
            tally.fail(model, f"{fill.__name__}: {problem}")
            return
        warned = warned or (fill is least and bool(result.warnings))
    tally.good[kind] += 1
    tally.warned[kind] += warned


async def _at_once(_seconds: float) -> None:
    """The mock's jobs are done when they are asked for."""


def main() -> int:
    """0 when enough models can be called."""
    asked = argparse.ArgumentParser(prog="corpus", description=__doc__)
    asked.add_argument("--most", type=int, help="look at so many models only, always the same ones")
    asked.add_argument("--least", type=int, default=200, help="so many mocked runs must be good")
    arguments = asked.parse_args()
    models, tally, start = documents(arguments.most), Tally(), time.perf_counter()
    if not models:
        where = (
            f"put some there, or name another folder in {VARIABLE}; the vendor's GET /models answers with pages of them"
        )
        sys.stdout.write(f"there are no descriptions in {folder()}: {where}\n")
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        own = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"), scratch)
        with mock.patch.dict(os.environ, own):
            for first in range(0, len(models), AT_ONCE):
                asyncio.run(examine(models[first : first + AT_ONCE], tally, Path(scratch) / str(first)))
    good, seconds = sum(tally.good.values()), time.perf_counter() - start
    wanted = f"at least {arguments.least} are wanted"
    sys.stdout.write(f"{tally.table()}\n\n{good} of {len(models)} models in {seconds:.0f} s; {wanted}\n")
    return 0 if good >= arguments.least else 1


if __name__ == "__main__":
    sys.exit(main())
