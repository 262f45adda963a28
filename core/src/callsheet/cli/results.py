"""The result of a single call: told, printed, or saved under a name that overwrites nothing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from callsheet.artifacts import EXTENSIONS, Artifact, BlobArtifact, JsonArtifact, TextArtifact, extension_for
from callsheet.cli.live_text import LiveText
from callsheet.cli.progress import watching
from callsheet.cli.terminal import Session, put, put_data, put_json, say
from callsheet.cli.work import command_line
from callsheet.client import Client
from callsheet.digests import json_ready
from callsheet.errors import CallsheetError
from callsheet.jobs import JobResult
from callsheet.manifest import cost_from_json
from callsheet.money import Cost
from callsheet.run_events import result_summary
from callsheet.storage import CallState, Event

__all__ = ["Call", "call_to_end", "check_target"]

_ALIKE = {"jpeg": "jpg", "m4a": "mp4", "weba": "webm", "opus": "ogg"}
_ALIKE |= dict.fromkeys(("csv", "html", "json", "md", "vtt"), "txt")
"""Extensions that say less or more of the same file, and what stands for each of them."""


@dataclass(slots=True)
class Call:
    """A call under way: what was asked for, and what its events say. `output` is the file that the user wants.

    `notes` tell of files that are not what that file's name says.
    """

    ref: str
    operation: str
    mode: str
    output: Path | None = None
    keys: set[str] = field(default_factory=set)
    cost: Cost | None = None
    notes: list[str] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        """Remember the call's key, its model (a fallback, or the one that was chosen), and what it cost."""
        if "key" in event.body:
            self.keys.add(str(event.body["key"]))
        self.ref = str(event.body.get("ref", self.ref))
        cost = event.body.get("cost")
        if event.type in ("job.succeeded", "job.collected") and isinstance(cost, dict):
            self.cost = cost_from_json(cost)


def check_target(output: Path | None) -> None:
    """Before anything is paid: can the result be written there? Raises UsageError."""
    if output is None:
        return
    if output.is_dir():
        raise click.UsageError(f"-o {output} is a folder: name a file")
    if not output.absolute().parent.is_dir():
        raise click.UsageError(f"-o {output}: there is no folder {output.absolute().parent}")


async def call_to_end(
    session: Session, client: Client, call: Call, work: Coroutine[Any, Any, JobResult], *, live: LiveText | None = None
) -> int:
    """Await the call, save and tell its result. A remote job that goes on without us leaves its receipt as a file.

    `live` is where the work shows its text by itself.
    """
    ledger = client.ledger
    end = ledger.subscribe(call.hear)
    try:
        with watching(session, ledger, untold=frozenset({"job.succeeded"})) if live is None else nullcontext():
            result = await work
    except (asyncio.CancelledError, CallsheetError):
        await _keep_receipts(client, call)
        raise
    finally:
        end()
    files = [*_save(call, result)]
    if session.json:
        put_json(session, _document(session, call, result, files))
        return 0
    for artifact, file in zip(result.artifacts, files, strict=True):
        if file is not None:
            put(file)
        elif not isinstance(artifact, BlobArtifact) and not (live is not None and live.shown):
            put_data(artifact.text if isinstance(artifact, TextArtifact) else artifact.data().decode())
    for warning in dict.fromkeys([*call.notes, *(w.message for w in result.warnings)]):
        say(f"warning: {session.redact(warning)}")
    if result.finish not in ("stop", "tool_calls"):
        say(f"warning: the answer is not complete: {result.finish}")
    cost = call.cost
    if cost is None:
        say("cost: nothing now, it was paid for before")
    else:
        say(f"cost: {cost}{f' ({cost.reason})' if cost.reason else ''}")
    return 0


def _document(session: Session, call: Call, result: JobResult, files: list[Path | None]) -> dict[str, object]:
    summary = result_summary(result)
    listed: Any = summary["artifacts"]
    artifacts = []
    for artifact, about, file in zip(result.artifacts, listed, files, strict=True):
        shown: dict[str, object] = {**about}
        if file is not None:
            shown["file"] = str(file)
        if isinstance(artifact, TextArtifact):
            shown["text"] = artifact.text
        elif isinstance(artifact, JsonArtifact):
            shown["value"] = json_ready(artifact.value)
        artifacts.append(shown)
    return {
        "ref": call.ref,
        "operation": call.operation,
        "mode": call.mode,
        "reused": call.cost is None,
        "finish": result.finish,
        "cost": (call.cost or Cost.exactly(0)).as_json(),
        "usage": summary["usage"],
        "warnings": list(dict.fromkeys([*call.notes, *(session.redact(w.message) for w in result.warnings)])),
        "artifacts": artifacts,
    }


def _save(call: Call, result: JobResult) -> Iterator[Path | None]:
    """Save what has to be saved and give each artifact's file; None for text that is printed or told instead.

    Raises CallsheetError that says where the paid files are when they cannot be written.
    """
    many = len(result.artifacts) > 1
    stem = call.operation.partition(".")[0]
    for number, artifact in enumerate(result.artifacts):
        if call.output is None and not isinstance(artifact, BlobArtifact):
            yield None
            continue
        ending = f"-{number}" if many else ""
        try:
            if call.output is None:
                yield _save_new(artifact, f"{stem}{ending}")
            else:
                yield _save_as(call, artifact, call.output, ending)
        except OSError as error:
            kept = f"; it is kept in {artifact.location}" if isinstance(artifact, BlobArtifact) else ""
            raise CallsheetError(f"the result cannot be written: {error}{kept}") from error


def _save_as(call: Call, artifact: Artifact, output: Path, ending: str) -> Path:
    """Save under the name that the user wants, or, where it would call a file what it is not, under the right one."""
    right, said = extension_for(artifact.media_type), output.suffix.lower().removeprefix(".")
    path = output.with_name(f"{output.stem}{ending}{output.suffix or '.' + right}") if ending else output
    if not said or _ALIKE.get(right, right) == _ALIKE.get(said, said):
        return artifact.save(path)
    if isinstance(artifact, BlobArtifact) and right != "bin" and {said, _ALIKE.get(said)} & {*EXTENSIONS.values()}:
        saved = _save_new(artifact, str(path.with_suffix("")))
        call.notes.append(f"{path.name} would hold {artifact.media_type}, so it is saved as {saved.name}")
        return saved
    call.notes.append(f"{path.name} holds {artifact.media_type}")
    return artifact.save(path)


def _save_new(artifact: Artifact, stem: str) -> Path:
    """Save under the first name that is free."""
    extension = extension_for(artifact.media_type)
    number = 1
    while True:
        path = Path(f"{stem}.{extension}" if number == 1 else f"{stem}-{number}.{extension}")
        try:
            with path.open("xb") as stream:
                if isinstance(artifact, BlobArtifact):
                    assert artifact.location is not None
                    with artifact.location.open("rb") as source:
                        shutil.copyfileobj(source, stream)
                else:
                    stream.write(artifact.data())
            return path
        except FileExistsError:
            number += 1


async def _keep_receipts(client: Client, call: Call) -> None:
    """Write the receipts of jobs that are still with the provider, and say how to collect them."""
    from callsheet.stores.records import encode_receipt

    for key, record in (await client.ledger.get_many(call.keys)).items():
        if record.state is CallState.SUBMITTED and record.receipt is not None:
            path = Path(f"receipt-{key[:12]}.json")
            path.write_text(encode_receipt(record.receipt) + "\n", encoding="utf-8")
            mode = [] if call.mode == "live" else ["--mode", call.mode]
            say(f"the job is still with the provider; to collect it: {command_line('resume', str(path), *mode)}")
