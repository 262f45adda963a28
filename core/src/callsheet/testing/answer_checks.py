"""Checks of what a call to the vendor's counterpart gives: the promised outputs, counted, once, and each caller its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import wave
from collections.abc import AsyncIterator, Iterator, Mapping
from io import BytesIO
from typing import Any, get_args

from callsheet.artifacts import BlobArtifact, JsonArtifact, TextArtifact
from callsheet.bulk import perform_many
from callsheet.call_book import price_of
from callsheet.errors import CallsheetError
from callsheet.jobs import Finish, JobResult
from callsheet.media import HEAD_BYTES, sniff
from callsheet.pay_once import OnUnknown
from callsheet.preparation import Prepared, prepare_call
from callsheet.result_check import check_result, schema_problem
from callsheet.stores.records import decode_result, encode_result
from callsheet.testing.live_stage import SOME_ROWS, LiveCall, fingerprint, live, said_by
from callsheet.testing.report import Check, NotApplicableError
from callsheet.testing.subject import CheckRow

__all__ = ["TABLE", "broken_promise"]

TITLED = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}


async def _answers(call: LiveCall) -> AsyncIterator[str]:
    """The result is what `expects` says: kind, number, media type, schema."""
    result = await call.result()
    problem = broken_promise(call, result) or _broken_off(call, result)
    if problem:
        yield problem
    else:
        call.subject.exercised.add(str(call.bound.info.operation))


def _broken_off(call: LiveCall, result: JobResult) -> str:
    """Where a text is the beginning of one in the vendor's answer, and the rest is left out."""
    told = [text.strip() for each in call.server.journal for text in _texts(each.reply)]
    for artifact in result.artifacts:
        text = artifact.text.strip() if isinstance(artifact, TextArtifact) else ""
        if text and text not in told and any(each.startswith(text) for each in told):
            return f"the text breaks off after {text[-20:]!r}: the vendor's answer goes on"
    return ""


def _texts(reply: object) -> Iterator[str]:
    if isinstance(reply, str):
        yield reply
    elif isinstance(reply, Mapping | list):
        for each in reply.values() if isinstance(reply, Mapping) else reply:
            yield from _texts(each)


def broken_promise(call: LiveCall, result: object) -> str:
    """What is wrong with a result, or an empty text."""
    if not isinstance(result, JobResult):
        return f"gives a {type(result).__name__}, and not a JobResult"
    if result.finish not in get_args(Finish):
        return f"the result's finish is {result.finish!r}, and not one of {', '.join(get_args(Finish))}"
    blobs = call.client.runtime.services.blobs
    try:
        check_result(call.request.expects, result, blobs, str(call.bound.ref), call.bound.info.operation)
    except CallsheetError as error:
        return str(error)
    wanted = sum(expected.count for expected in call.request.expects)
    plain = result.finish in ("stop", "length")
    return (
        f"gives {len(result.artifacts)} outputs, and `expects` says {wanted}"
        if plain and len(result.artifacts) != wanted
        else ""
    )


async def _stored(call: LiveCall) -> AsyncIterator[str]:
    """Files are whole in the store, and are what they say they are."""
    result = await call.result()
    files = [each for each in result.artifacts if isinstance(each, BlobArtifact)]
    if not files:
        raise NotApplicableError("it gives no files")
    lengths = [each.duration for each in call.request.expects for _ in range(each.count) if each.kind == "blob"]
    for number, artifact in enumerate(files):
        file, where = artifact.file, f"output {number}"
        data = await call.client.runtime.services.blobs.read(file)
        if (len(data), hashlib.sha256(data).hexdigest()) != (file.bytes, file.sha256):
            yield f"{where}: its size or digest is not that of the file in the store"
        found = sniff(data[:HEAD_BYTES])
        if found is not None and found.partition("/")[0] != artifact.media_type.partition("/")[0]:
            yield f"{where}: says {artifact.media_type}, and is {found}"
        sizes = {"width": artifact.width, "height": artifact.height, "duration": artifact.duration}
        for name, size in sizes.items():
            if size is not None and not size > 0:
                yield f"{where}: has a {name} of {size}"
        length = _length(data)
        promised = lengths[number] if number < len(lengths) else None
        # a counterpart may give the same short file for every length: then nothing is known
        known = length and promised and abs(length - promised) <= promised / 10
        if known and artifact.duration and abs(length - artifact.duration) > length / 10:
            yield f"{where}: says {artifact.duration:g} s, and has {length:g}"


def _length(data: bytes) -> float:
    """Seconds of a WAV file; 0 for any other."""
    try:
        with wave.open(BytesIO(data)) as sound:
            return float(sound.getnframes() / sound.getframerate())
    except (wave.Error, EOFError, ZeroDivisionError):
        return 0.0


async def _usage(call: LiveCall) -> AsyncIterator[str]:
    """All that has a price is counted: before the call what was asked for, after it what the vendor tells."""
    if not call.bound.info.price:
        raise NotApplicableError("its row has no price")
    result = await call.result()
    if result.usage.cached_tokens is None and any(_cached(each.reply) for each in call.server.journal):
        yield "the vendor tells of cached tokens, which cost less, and Usage.cached_tokens is empty"
    for side, number in (("input", result.usage.input_tokens), ("output", result.usage.output_tokens)):
        priced = result.usage.units.get(f"{side}_token")
        if number is not None and priced is not None and priced > number:
            yield f"counts {priced:g} {side}_token for the price, and Usage has {number}"
    counted = {**call.request.units, **result.usage.units}
    missing = sorted(row.per for row in call.bound.info.price if row.per not in counted)
    if price_of(call.bound, call.request.units, result).low is not None:
        return
    timed = {"second", "minute"} if any(each.duration for each in call.request.expects) else set()
    told = any(_counts(each.reply) for each in call.server.journal) or timed.intersection(missing)
    if all(_measured(unit) for unit in missing) and not told:
        raise NotApplicableError(f"the vendor does not tell the number of {', '.join(missing)}")
    yield f"the cost of a call is not known: the number of {', '.join(missing)} is not counted"


def _measured(unit: str) -> bool:
    """True for what only the vendor can count."""
    return unit.endswith("token") or unit in ("second", "minute", "hour", "credit")


def _counts(reply: object) -> bool:
    """True for an answer that says how much a call used up."""
    if isinstance(reply, Mapping):
        return any("usage" in name or "token" in name or _counts(each) for name, each in reply.items() if each)
    return isinstance(reply, list) and any(map(_counts, reply))


def _cached(reply: object) -> bool:
    """True for an answer that counts tokens which the vendor had kept."""
    if isinstance(reply, Mapping):
        return any(
            ("cached" in name and "token" in name and isinstance(each, int)) or _cached(each)
            for name, each in reply.items()
        )
    return isinstance(reply, list) and any(map(_cached, reply))


async def _once(call: LiveCall) -> AsyncIterator[str]:
    """A call, with all its questions, is one paid request, which has the call's key where the vendor honours one."""
    context = call.context()
    await call.result(context)
    if len(call.server.paid) != 1:
        yield f"{len(call.server.paid)} paid requests for one call (the counterpart marks routes with paid=True)"
    manifest = call.subject.plugin.manifest
    declared = manifest is not None and manifest.provider is not None and manifest.provider.idempotency_key
    if declared and not any(context.key in repr((each.headers, each.query, each.body)) for each in call.server.paid):
        yield "plugin.toml says that the vendor honours an idempotency key, and context.key is not in the paid request"


async def _durable(call: LiveCall) -> AsyncIterator[str]:
    """The result, written as the ledger writes it and read again, is the same."""
    result = await call.result()
    try:
        again = decode_result(encode_result(result))
        json.dumps(dict(result.meta), allow_nan=False)
    except Exception as error:  # noqa: BLE001 - whatever the encoder makes of a plugin's objects
        yield f"the result cannot be written as JSON and read again: {said_by(error)}"
        return
    kept = (fingerprint(again), again.usage, again.finish, dict(again.meta))
    if kept != (fingerprint(result), result.usage, result.finish, dict(result.meta)):
        yield "the result is another one after it was written as JSON and read again"


async def _structured(call: LiveCall) -> AsyncIterator[str]:
    """With a schema the answer is JSON that is valid by it."""
    asked = call.varied(output_schema=TITLED)
    if not any(each.kind == "json" and each.schema for each in asked.request.expects):
        yield "with an output_schema, `expects` says no JSON of a schema: nothing checks the answer, or mocks it"
    result = await asked.result()
    values = [each.value for each in result.artifacts if isinstance(each, JsonArtifact)]
    if not values:
        yield "with an output_schema it gives no JsonArtifact"
    for value in values:
        problem = schema_problem(value, TITLED)
        if problem:
            yield f"the answer is not valid by its output_schema: {problem}"


async def _count(call: LiveCall) -> AsyncIterator[str]:
    """Two are asked for, and two come: as many files as outputs."""
    asked = call.varied(count=2)
    if sum(expected.count for expected in asked.request.expects) != 2:
        yield "with count = 2, `expects` says another number"
        return
    problem = broken_promise(asked, await asked.result())
    if problem:
        yield problem


async def _vectors(call: LiveCall) -> AsyncIterator[str]:
    """The vectors of two texts, in the texts' order: those that each text has alone."""
    texts = ("basalt, and nothing else", "pumice")
    alone = [await _embedded(call.varied(text=text)) for text in texts]
    both = await _embedded(call.varied(text=None, texts=texts))
    if not all(isinstance(each, list) and len(each) == 1 for each in alone):
        yield "for one text it gives no list of one vector"
    elif alone[0] == alone[1]:
        raise NotApplicableError("the counterpart gives different texts the same vector")
    elif both != [alone[0][0], alone[1][0]]:
        yield "for two texts it does not give the two vectors in the order of the texts"


async def _embedded(call: LiveCall) -> Any:
    (artifact,) = (await call.result()).artifacts
    return artifact.value if isinstance(artifact, JsonArtifact) else None


async def _apart(call: LiveCall) -> AsyncIterator[str]:
    """Two different calls at the same time through one handler: each sends its own request and gets its own answer."""
    name = next((each for each in ("prompt", "text") if hasattr(call.job.inputs, each)), "")
    if not name:
        raise NotApplicableError("its operation has neither prompt nor text")
    words = ("a first basalt wording", "a second pumice wording")
    calls = [call.varied(**{name: each}) for each in words]
    results = await asyncio.gather(*(each.result(each.context(word)) for each, word in zip(calls, words, strict=True)))
    for each, result in zip(calls, results, strict=True):
        problem = broken_promise(each, result)
        if problem:
            yield f"of two calls at the same time: {problem}"
    sent = [request.body for request in call.server.paid]
    for word in words:
        came = sum(word.encode() in body for body in sent)
        if came != 1 and all(not request.parts for request in call.server.paid):
            yield f"of two calls at the same time, the {name} {word!r} was sent {came} times"


async def _whole(call: LiveCall) -> AsyncIterator[str]:
    """The engine's own way: claimed, sent, waited for, checked and priced."""
    runtime = call.client.runtime
    prepared = prepare_call(call.bound, call.job, salt=runtime.settings.salt)
    (ended,) = await perform_many(
        runtime.performer, [Prepared((prepared,))], reuse=False, on_unknown=OnUnknown.DEFAULT, concurrency=1
    )
    if isinstance(ended, CallsheetError):
        yield f"the engine ends the call with {said_by(ended)}"
    elif len(call.server.paid) != 1:
        yield f"the engine's call is {len(call.server.paid)} paid requests"


TABLE: tuple[CheckRow, ...] = (
    (
        live(_answers),
        Check(
            "answers",
            "a call to the vendor's counterpart gives what the request's `expects` promised",
            "give one artifact for each that `expects` names, of that kind and media type",
        ),
    ),
    (
        live(_stored),
        Check(
            "outputs-stored",
            "output files are in the store, whole, with their true size, digest, length and media type",
            "store outputs by context.keep, context.receive or context.download, and use the artifact that these give",
        ),
    ),
    (
        live(_usage),
        Check(
            "usage-counted",
            "all units that a row's price names are counted",
            "fill `units` of the request, and Usage of the result by what the vendor counted; names as in the row's `per`",
        ),
    ),
    (
        live(_once),
        Check(
            "one-paid-request",
            "one call is one paid request, with context.key in it where plugin.toml has idempotency_key",
            "send the paid request once; whatever else is needed are questions that cost nothing. Send context.key as the"
            " vendor's idempotency key, or leave idempotency_key out",
        ),
    ),
    (
        live(_durable),
        Check(
            "result-durable",
            "a result is plain data: written as JSON and read again it is the same",
            "put only texts, numbers, booleans, lists and tables into `meta`, `usage` and JSON artifacts",
        ),
    ),
    (
        live(_structured, rows=SOME_ROWS, takes="output_schema"),
        Check(
            "structured-output",
            "with an output_schema the answer is valid JSON by it",
            "send the schema, give it to Expected, too, parse the answer, and give JsonArtifact(value); else raise CapabilityUnsupportedError in prepare",
        ),
    ),
    (
        live(_count, rows=SOME_ROWS, takes="count"),
        Check(
            "count",
            "`count = 2` gives two outputs",
            "set Expected.count, and give each output its artifact; warn or refuse in prepare what cannot be had",
        ),
    ),
    (
        live(_vectors, takes="texts"),
        Check(
            "embed-order",
            "the vectors of several texts come in the order of the texts",
            "give one JsonArtifact with a list of vectors, sorted by the vendor's index",
        ),
    ),
    (
        live(_apart),
        Check(
            "calls-apart",
            "calls at the same time through one handler do not mix",
            "keep nothing of a call in the handler: all of it is in the request, the context and local names",
        ),
    ),
    (
        live(_whole),
        Check(
            "whole-call",
            "the engine carries a call to its end: claimed, sent, waited for, checked, priced",
            "see what the engine says; the checks above look at one step each",
        ),
    ),
)
