"""Checks of mocked calls: each model gives a valid result without a key, and nothing reaches the network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from callsheet.bulk import perform_many
from callsheet.errors import CallsheetError
from callsheet.models import Mode
from callsheet.pay_once import OnUnknown
from callsheet.preparation import Prepared, prepare_call
from callsheet.registry import BoundHandler
from callsheet.secrets import MappingSecrets
from callsheet.testing.live_stage import open_client, said_by
from callsheet.testing.purity import watched
from callsheet.testing.report import Check, Finding, NotApplicableError
from callsheet.testing.subject import CheckRow, Subject

__all__ = ["TABLE"]


def _answers(subject: Subject) -> Iterator[Finding]:
    """Every row, through the engine: prepared by the plugin, made up by the mock, checked against `expects`."""
    yield from asyncio.run(_mocked(subject, subject.bound))


def _offline(subject: Subject) -> Iterator[Finding]:
    """The code of a mocked call opens no connection and looks up no name."""
    with watched(network_only=True) as acts:
        asyncio.run(_mocked(subject, subject.wires))
    for what, where in acts:
        if f"{subject.plugin.module}/" in f"{where}":
            yield Finding(where, f"{what} in a mocked call")


async def _mocked(subject: Subject, models: Sequence[BoundHandler]) -> list[Finding]:
    findings = []
    looked = False
    async with open_client(subject, models[0], "http://127.0.0.1:9", MappingSecrets({})) as (client, _):
        runtime = client.runtime
        for bound in models:
            try:
                mocked = runtime.registry.resolve(bound.ref, bound.info.operation, Mode.MOCK)
            except CallsheetError as error:
                raise NotApplicableError(f"nothing here makes up results: {error}") from error
            try:
                call = prepare_call(mocked, subject.job(bound), salt=runtime.settings.salt)
            except CallsheetError:
                continue  # the check `bodies` tells of it
            looked = True
            (ended,) = await perform_many(
                runtime.performer, [Prepared((call,))], reuse=False, on_unknown=OnUnknown.DEFAULT, concurrency=1
            )
            if isinstance(ended, CallsheetError):
                findings.append(Finding(str(bound.ref), f"a mocked call ends with {said_by(ended)}"))
    if not looked:
        raise NotApplicableError("no sample job can be prepared: see the check `bodies`")
    return findings


TABLE: tuple[CheckRow, ...] = (
    (
        _answers,
        Check(
            "mock-answers",
            "mocked calls of all models give valid results, without a key",
            "fill `expects` with what the call gives: the mock makes that, and the engine checks it",
        ),
    ),
    (
        _offline,
        Check(
            "mock-offline",
            "a mocked call reaches no network",
            "keep prepare free of requests: it is all of the plugin that a mocked call uses",
        ),
    ),
)
