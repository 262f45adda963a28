"""The live checks: a plugin that does everything right passes all of them, and each finds what it is for."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from callsheet.testing import (
    Conformance,
    answer_checks,
    attribute_checks,
    batch_checks,
    cancel_checks,
    chat_checks,
    conformance,
    live_stream_checks,
    media_checks,
    mock_checks,
    receipt_checks,
    refusal_checks,
    remote_checks,
    secret_checks,
)
from callsheet.testing.report import CheckStatus

BROOK = Path(__file__).parent / "brook"
TABLES = (
    answer_checks.TABLE,
    refusal_checks.TABLE,
    attribute_checks.TABLE,
    chat_checks.TABLE,
    media_checks.TABLE,
    live_stream_checks.TABLE,
    remote_checks.TABLE,
    receipt_checks.TABLE,
    batch_checks.TABLE,
    cancel_checks.TABLE,
    secret_checks.TABLE,
    mock_checks.TABLE,
)
IDS = [check.id for table in TABLES for _, check in table]
TOML, API, TEXT, JOBS, SERVER = "plugin.toml", "api.py", "answers.py", "pictures.py", "testing.py"


@pytest.fixture
def install_brook(site):
    """Installs the plugin; each change is (file, old text, new text) and must change something."""

    def install(*changes):
        files = {each.name: each.read_text(encoding="utf-8") for each in BROOK.iterdir() if each.is_file()}
        for file, old, new in changes:
            assert files[file].count(old) >= 1, (file, old)
            files[file] = files[file].replace(old, new, 1)
        root = site.install("callsheet-brook", toml=files.pop("plugin.toml"), code=files.pop("__init__.py"))
        for name, text in files.items():
            (root / name).write_text(text, encoding="utf-8")
        return "callsheet_brook"

    return install


def test_a_good_plugin_passes_every_live_check(install_brook):
    """No check complains, and each has something to look at (mocked calls: where the mock is installed)."""
    report = conformance(install_brook(), only=IDS)
    report.assert_ok()
    idle = {each.check.id for each in report.outcomes if each.status is CheckStatus.NOT_APPLICABLE}
    assert idle <= {"mock-answers", "mock-offline"}
    assert [each.check.id for each in report.outcomes] == IDS


INVOKE = '        return _result(await ask(context, "POST", "/answers", json=dict(request.body)), request)\n'
SUBMITTED = '        told = await ask(context, "POST", "/pictures", json={**body, "name": context.key})\n'
POLLED = (
    '        told = await ask(context, "GET", f"/pictures/{receipt.job_id}", lost=True)\n        return RemoteStatus('
)
ABORTED = 'await ask(context, "POST", f"/pictures/{receipt.job_id}/cancel", lost=True)'
DOWNLOAD = 'await context.download(context.origin + path, "image/png", headers=key)'
LOOSE = """
async def _loose(context, path, key):
    data = b""
    async with context.http.stream("GET", path, headers=key) as reply:
        try:
            async for piece in reply.pieces():
                data += piece
        except ConnectionFailedError:
            pass
    return await context.keep(data, "image/png")


async def _upload("""
BATCH = '        told = await ask(context, "POST", "/batches", json={"name": context.key, "lines": lines})\n'
STREAM = '        async with context.http.stream("POST", "/stream", json=dict(request.body), headers=key) as reply:\n'
OPEN = STREAM.replace("async with ", "reply = await ").replace(" as reply:\n", ".__aenter__()\n        if True:\n")
CONVERTED = (
    "        try:\n"
    + "\n".join("    " + line for line in OPEN.splitlines()[:1])
    + "\n        except BaseException:\n            raise ValueError('gone') from None\n        if True:\n"
)
AGAIN = """        import asyncio
        try:
            return _result(await ask(context, "POST", "/answers", json=dict(request.body)), request)
        except {what}:
            return _result(await ask(context, "POST", "/answers", json=dict(request.body)), request)
"""
SHIELDED = INVOKE.replace("await ask(", "await __import__('asyncio').shield(ask(").replace("body)), ", "body))), ")
DEFECTS = {
    "answers": ("json instead of text", (TEXT, 'else TextArtifact(told["text"])', 'else JsonArtifact(told["text"])')),
    "outputs-stored": (
        "has a width of 0",
        (JOBS, "tuple(made)", "tuple(__import__('dataclasses').replace(each, width=0) for each in made)"),
    ),
    "usage-counted": ("output_token is not counted", (TEXT, 'units={"output_token": told["tokens"]}', "units={}")),
    "one-paid-request": ("2 paid requests", (TEXT, INVOKE, INVOKE.replace("return _result", "_result") + INVOKE)),
    "result-durable": ("cannot be written as JSON", (TEXT, 'meta={"id": told["id"]}', 'meta={"id": object()}')),
    "structured-output": (
        "not valid by its output_schema",
        (TEXT, 'JsonArtifact(json.loads(told["text"]))', 'JsonArtifact([json.loads(told["text"])])'),
    ),
    "count": ("1 of 2 outputs", (JOBS, 'for path in told["files"]]', 'for path in told["files"][:1]]')),
    "embed-order": ("not give the two vectors in the order", (TEXT, 'told["vectors"]', 'told["vectors"][::-1]')),
    "outputs-order": ("in another order than the vendor", (JOBS, "tuple(made)", "tuple(made[::-1])")),
    "calls-apart": (
        "was sent 0 times",
        (
            TEXT,
            INVOKE,
            "        import asyncio\n        self.body = dict(request.body)\n        await asyncio.sleep(0)\n"
            + INVOKE.replace("dict(request.body)", "self.body"),
        ),
    ),
    "whole-call": ("the text is empty", (TEXT, 'else TextArtifact(told["text"])', 'else TextArtifact("")')),
    "error-words": ("does not say 'The kiln is full until the 400 bell", (API, "{reply.body.decode()}", "no")),
    "attributes-answered": (
        "format = 'jpeg' is taken without a warning, and the counterpart's answer is not as promised: the file is image/png",
        (JOBS, 'Expected("blob", "image/png"', 'Expected("blob", f"image/{wanted.format or \'png\'}"'),
    ),
    "expected-size": (
        "expects 1024x1536, and the picture has 1536x1024",
        (JOBS, "width=width, height=height", "width=height, height=width"),
    ),
    "chat-order": ("in another order", (TEXT, "in wanted.messages or ()", "in reversed(wanted.messages or ())")),
    "chat-system": (
        "the system prompt is not sent",
        (TEXT, '{"system": wanted.system} if wanted.system else {}', "{}"),
    ),
    "file-lies": (
        "gives a result with another file",
        (JOBS, DOWNLOAD, 'await context.keep((await context.http.send("GET", path, headers=key)).body, "image/png")'),
    ),
    "file-cut": (
        "that ends early gives a result with another file",
        (JOBS, DOWNLOAD, "await _loose(context, path, key)"),
        (JOBS, "\nasync def _upload(", LOOSE),
        (JOBS, "    CapabilityUnsupportedError,\n", "    CapabilityUnsupportedError,\n    ConnectionFailedError,\n"),
    ),
    "inputs-arrive": ("reaches the vendor in no request", (JOBS, "await context.files.read(file))", 'b"x")')),
    "upload-once": (
        "is uploaded 2 times",
        (
            JOBS,
            "await context.files.upload(file, lambda: _upload(file, context))",
            "(await _upload(file, context)).address",
        ),
    ),
    "stream-live": (
        "StreamFinished is not the last event",
        (TEXT, "                    return\n", '                    yield TextDelta("")\n                    return\n'),
    ),
    "stream-text": (
        "the deltas give",
        (TEXT, 'yield TextDelta(data["text"])', 'yield TextDelta(data["text"].strip())'),
    ),
    "stream-usage": ("of a stream is not known", (TEXT, 'units={"output_token": data["tokens"]}', "units={}")),
    "stream-cut": (
        "passes for a whole one",
        (
            TEXT,
            'raise MalformedOutputError("the stream ends without its last event", sent=Sent.UNKNOWN)',
            "yield StreamFinished(JobResult((TextArtifact(text),)))",
        ),
    ),
    "stream-broken": (
        "event 0 breaks off passes for a whole one",
        (TEXT, 'raise MalformedOutputError("an event is no JSON", sent=Sent.UNKNOWN) from None', 'return {"text": ""}'),
    ),
    "stream-left": ("left after its first event leaves its connection open", (TEXT, STREAM, OPEN)),
    "submit-returns": (
        "asks 1 more times",
        (JOBS, SUBMITTED, SUBMITTED + '        await ask(context, "GET", f"/pictures/{told[\'id\']}")\n'),
    ),
    "job-ends": (
        "still runs is succeeded",
        (JOBS, '"running": RemoteState.RUNNING', '"running": RemoteState.SUCCEEDED'),
    ),
    "poll-once": ("is 2 requests", (JOBS, POLLED, POLLED.partition("\n")[0] + "\n" + POLLED)),
    "poll-recovers": ("nobody would ask again", (API, "reply.status == 404", "reply.status >= 400")),
    "job-lost": ("and not JobLostError", (API, "gone = lost and reply.status == 404", "gone = False")),
    "job-failed": ("has no reason", (JOBS, 'error=told.get("error", "")', 'error=""')),
    "collect-again": (
        "collect gives another result",
        (
            JOBS,
            'context.answer or await ask(context, "GET", f"/pictures/{receipt.job_id}", lost=True)',
            'context.answer or {"files": []}',
        ),
    ),
    "abort-stops": ("the job still runs at the vendor", (JOBS, ABORTED, '{"state": "stopped"}')),
    "abort-finished": (
        "says stopped, and not already_finished",
        (JOBS, 'if told["state"] == "stopped" else AbortOutcome.ALREADY_FINISHED', ""),
    ),
    "abort-unknown": (
        "lets through KeyError",
        (
            JOBS,
            ABORTED,
            '(await context.http.send("POST", f"/pictures/{receipt.job_id}/cancel", headers=await headers(context))).json()',
        ),
    ),
    "reply-lost": ("gives a JobResult", (TEXT, INVOKE, AGAIN.format(what="Exception"))),
    "find-lost": ("find does not find the job", (JOBS, 'query={"name": context.key}', 'query={"name": "another"}')),
    "find-absent": (
        "although none was made",
        (JOBS, 'receipt_of(told["ids"][0]', 'receipt_of("picture-0000"'),
        (JOBS, ' if told["ids"] else None', ""),
    ),
    "receipt-complete": ("the receipt's key is not", (API, "key=context.key", 'key="another"')),
    "receipt-json": ("5007 bytes", (JOBS, '{"n": request.body["n"]}', '{"n": "x" * 4998}')),
    "receipt-clean": ("a URL stands in the receipt", (JOBS, '{"n": request.body["n"]}', '{"at": context.origin}')),
    "receipt-process": (
        "another process cannot collect",
        (JOBS, SUBMITTED, SUBMITTED + '        self.job = told["id"]\n'),
        (JOBS, POLLED, POLLED.replace("receipt.job_id", "self.job")),
    ),
    "batch-group": ("two groups for one request", (TEXT, "{request.ref.model}", "{id(request)}")),
    "batch-answers": (
        "when the items come in another order",
        (TEXT, "return ended", "return dict(zip(requests, ended.values(), strict=False))"),
    ),
    "batch-receipt": ("the receipt's key is not", (API, "key=context.key", 'key="another"')),
    "batch-failed-item": (
        "breaks: JobFailedError",
        (TEXT, 'ended[line["id"]] = JobFailedError(', "raise JobFailedError("),
    ),
    "batch-abort": (
        "the batch still runs",
        (TEXT, '        await ask(context, "POST", f"/batches/{receipt.job_id}/cancel", lost=True)\n', ""),
    ),
    "batch-find": ("does not find the batch", (TEXT, 'query={"name": context.key}', 'query={"name": "another"}')),
    "cancel-call": (
        "invoke, cancelled at its await point",
        (TEXT, INVOKE, AGAIN.format(what="asyncio.CancelledError")),
    ),
    "cancel-questions": (
        "poll, cancelled at its await point 1, swallows",
        (
            JOBS,
            POLLED,
            "        try:\n    " + POLLED.partition("\n")[0] + "\n        except BaseException:\n"
            "            return RemoteStatus(RemoteState.RUNNING)\n" + POLLED.partition("\n")[2],
        ),
    ),
    "cancel-stream": ("stream, cancelled at its await point 1, lets ValueError", (TEXT, STREAM, CONVERTED)),
    "cancel-batch": (
        "submit_batch, cancelled at its await point 1, lets",
        (
            TEXT,
            BATCH,
            f"        try:\n    {BATCH}        except BaseException:\n            raise ValueError('gone') from None\n",
        ),
    ),
    "deadline": ("leaves its connection open", (TEXT, INVOKE, SHIELDED)),
    "waits-nowhere": (
        "sleeps in a call (callsheet_brook/pictures.py",
        (JOBS, POLLED, "        import asyncio\n        await asyncio.sleep(0.001)\n" + POLLED),
    ),
    "nothing-left": (
        "leaves a task running",
        (TEXT, INVOKE, "        import asyncio\n        self.task = asyncio.create_task(asyncio.sleep(60))\n" + INVOKE),
    ),
    "key-in-header": (
        "has the key in no header",
        (API, '{"authorization": f"Bearer {key.reveal()}"}', '{"authorization": "Bearer", "x": str(key)}'),
        (SERVER, 'request.headers.get("authorization") != f"Bearer {self.key}"', "not request.headers"),
    ),
    "key-nowhere-else": (
        "the key stands in the body",
        (
            TEXT,
            INVOKE,
            INVOKE.replace("dict(request.body)", "{**request.body, 'key': (await context.secrets.key()).reveal()}"),
        ),
    ),
    "key-not-kept": (
        "the key stands in the log",
        (TEXT, 'LOG.info("asking for %s", request.ref)', 'LOG.info("asking with %s", await headers(context))'),
    ),
    "key-fresh": (
        "does not send the new one",
        (API, "key = await context.secrets.key()", "key = LOG.__dict__.setdefault('key', await context.secrets.key())"),
        (API, "logging.getLogger(", "logging.Logger("),
    ),
    "wrong-key": ("and not AuthenticationError", (API, "else (None, None)", "else (ErrorKind.INVALID_REQUEST, None)")),
}


DEAF = """
async def _deaf(events):
    import asyncio
    try:
        async for event in events:
            yield event
    except asyncio.CancelledError:
        return


class Answers:"""
GATHERED = """        text = ""
        key = await headers(context)
        async with context.http.stream("POST", "/stream", json=dict(request.body), headers=key) as reply:
            async for event in reply.events():
                text += _event(event.data).get("text", "")
        return JobResult((TextArtifact(text),))
"""
AGAIN_DEFECTS = [
    (
        "abort-stops",
        "after 2 polls (the last says running): after abort (which says already_finished) the job still runs",
        (SERVER, 'if job["state"] == "running":\n', 'if job["state"] == "running" and job["polls"] < 2:\n'),
    ),
    (
        "job-failed",
        "without the vendor's 'the brook is dry'",
        (JOBS, 'told.get("error", "")', '"no" if told["state"] == "failed" else ""'),
    ),
    (
        "error-words",
        "a poll that was answered with 503",
        (API, "{reply.body.decode()}", "{reply.body.decode() * (not lost)}"),
    ),
    (
        "attributes-answered",
        "format = 'jpeg' is taken without a warning, and the counterpart's answer is not as promised: InvalidRequestError",
        (JOBS, "body |= job.options", "body |= {**job.options, 'format': wanted.format}"),
        (
            SERVER,
            "return super().answer(request)",
            "bad = b'\"jpeg\"' in request.body\n        return Reply(400, {}) if bad else super().answer(request)",
        ),
    ),
    (
        "usage-counted",
        "cached tokens, which cost less",
        (SERVER, '"tokens": len(text.split())}', '"tokens": len(text.split()), "cached_tokens": 3}'),
    ),
    (
        "usage-counted",
        "the number of second is not counted",
        (TOML, 'per = "image"', 'per = "second"'),
        (JOBS, "width=width, height=height", "width=width, height=height, duration=4.0"),
    ),
    ("file-cut", "an answer in events that ends after the first gives a result", (TEXT, INVOKE, GATHERED)),
    ("result-durable", "is another one after", (TEXT, 'meta={"id": told["id"]}', 'meta={"ids": {1: told["id"]}}')),
    (
        "stream-left",
        "swallows the CancelledError",
        (TEXT, "in reply.events():", "in _deaf(reply.events()):"),
        (TEXT, "\nclass Answers:", DEAF),
    ),
]


@pytest.mark.parametrize("case", AGAIN_DEFECTS, ids=[f"{case[0]}-{n}" for n, case in enumerate(AGAIN_DEFECTS)])
def test_another_defect_is_found_by_the_same_check(install_brook, case):
    """What a check holds, it holds in more than one place."""
    name, told, *changes = case
    (outcome,) = conformance(install_brook(*changes), only=[name]).outcomes
    assert outcome.status is CheckStatus.FAILED, outcome.reason
    assert told in "\n".join(map(str, outcome.findings))


@pytest.mark.parametrize(
    ("method", "check", "cost"),
    [("find", "find-lost", "is put to the user"), ("abort", "abort-stops", "Ctrl-C stops nothing at the vendor")],
)
def test_what_it_costs_that_a_method_is_missing(install_brook, method, check, cost):
    """The reason says what the user has of it."""
    name = install_brook((JOBS, f"async def {method}(", f"async def _{method}("))
    (outcome,) = conformance(name, only=[check]).outcomes
    assert outcome.status is CheckStatus.NOT_APPLICABLE
    assert cost in outcome.reason


def test_one_cause_is_told_once(install_brook, capfd):
    """With the line that broke and what follows from it; no advice about something else, nothing on stderr."""
    name = install_brook((JOBS, 'for path in told["files"]]', 'for path in told["paths"]]'))
    wanted = ["answers", "outputs-stored", "whole-call", "cancel-questions", "key-fresh", "receipt-process"]
    report = conformance(name, only=wanted)
    assert [each.check.id for each in report.failed] == [each for each in IDS if each in wanted]
    assert report.summary.count("KeyError: 'paths' (pictures.py:") == 1
    followers = [each for each in IDS if each in wanted[1:]]
    assert f"  and 5 more checks fail for the same reason: {', '.join(followers)}\n" in report.summary
    assert "give one artifact for each that" not in report.summary
    assert "repair: mend what breaks" in report.summary
    assert capfd.readouterr().err == ""


def test_the_tests_of_a_class_tell_one_cause_once(install_brook):
    """The second test that fails for it says which one has told it."""
    name = install_brook((JOBS, 'for path in told["files"]]', 'for path in told["paths"]]'))
    made = type("TestBrook", (Conformance,), {}, plugin=name)
    with pytest.raises(AssertionError, match=r"KeyError: 'paths' \(pictures.py:\d+\)\n  repair: mend what breaks"):
        made().test_answers()
    with pytest.raises(
        AssertionError, match=r"^outputs-stored fails for the same reason as answers: KeyError: 'paths'$"
    ):
        made().test_outputs_stored()


def test_a_broken_counterpart_is_told_of_in_few_lines(install_brook):
    """The request, the last step and the exception, however often it breaks."""
    report = conformance(
        install_brook((SERVER, 'job["polls"] += 1', 'job["asked_for"] += 1')), only=["answers", "count"]
    )
    assert report.summary.count("KeyError: 'asked_for'") == 1
    assert "the counterpart: GET /pictures/picture-0000 breaks the server:\n" in report.summary
    assert "_answered" not in report.summary


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found_by_its_check(install_brook, name):
    """The check fails, and says what is wrong."""
    told, *changes = DEFECTS[name]
    (outcome,) = conformance(install_brook(*changes), only=[name]).outcomes
    assert outcome.status is CheckStatus.FAILED, outcome.reason
    assert told in "\n".join(map(str, outcome.findings))


def test_every_live_check_can_fail():
    """There is a defect for each."""
    assert set(DEFECTS) | set(MOCKED) == set(IDS)


MOCKED = {
    "mock-answers": (
        "a mocked call ends with",
        (JOBS, 'Expected("blob", "image/png"', 'Expected("json", "application/json", schema={"type": "nonsense"}'),
    ),
    "mock-offline": (
        "reaches the network (getaddrinfo)",
        (
            JOBS,
            "        wanted = job.inputs\n",
            "        wanted = job.inputs\n        import socket\n        socket.getaddrinfo('127.0.0.1', 80)\n",
        ),
    ),
}


@pytest.mark.parametrize("name", MOCKED)
def test_a_defect_of_mocked_calls_is_found_where_the_mock_is_installed(install_brook, name):
    """Without the mock there is nothing to look at, and the reason says so."""
    told, *changes = MOCKED[name]
    (outcome,) = conformance(install_brook(*changes), only=[name]).outcomes
    if find_spec("callsheet_mock") is None:
        assert "nothing here makes up results" in outcome.reason
    else:
        assert told in "\n".join(map(str, outcome.findings))
