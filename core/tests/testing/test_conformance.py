"""The conformance checks: a plugin that does everything right passes all, and each check finds what it is for."""

from __future__ import annotations

import json
import re

import pytest

from callsheet.errors import ConfigError
from callsheet.testing import CHECKS, conformance
from callsheet.testing.report import CheckState

STREAM = b'data: {"text": "lava "}\n\ndata: {"text": "cools"}\n\ndata: {"done": true}\n\n'
TOML, ENTRY, CODE = "plugin.toml", "__init__.py", "answers.py"
BODY = '        body = {"model"'
SEND = '        reply = await context.http.send("POST"'
REFUSE = '            raise reply_error(reply, "the toy says no", ref=str(request.ref))\n        return'
END = '        raise MalformedOutputError("the stream ends without its last event", sent=Sent.UNKNOWN)\n'

BROKEN = [
    ("manifest", TOML, "api = 1", "api = 99", "is written for plugin api 99"),
    ("manifest", TOML, 'secrets = ["TOY_KEY"]', 'secret = "TOY_KEY"', "unknown key 'secret'"),
    ("manifest", TOML, 'provides = ["models"]', "", "provides does not say so"),
    ("rows", TOML, "text.generate", "text.generates", "operation has no 'text.generates'"),
    ("rows", TOML, 'aliases = ["w"]', 'aliases = ["w", "w"]', "toy:w: names 2 models"),
    ("rows", TOML, 'aliases = ["w"]', 'schema = "schemas/words.json"', "schemas/words.json is not in the package"),
    ("import-light", ENTRY, "from callsheet.plugin", "import httpx2\nfrom callsheet.plugin", "imports httpx2 at once"),
    ("import-light", ENTRY, "from callsheet.plugin", "import pydantic\nfrom callsheet.plugin", "imports pydantic"),
    ("import-light", ENTRY, "from callsheet.plugin", "print('hi')\nfrom callsheet.plugin", "prints 3 bytes to stdout"),
    ("import-light", ENTRY, "from callsheet.plugin", "1 / 0\nfrom callsheet.plugin", "cannot be imported: ZeroDivision"),
    ("handlers", ENTRY, "callsheet_register_handlers", "callsheet_register_handler", "did you mean"),
    ("handlers", ENTRY, 'HandlerSpec("toy"', 'HandlerSpec("other"', "registers a handler for 'other'"),
    ("handlers", ENTRY, 'wire="answers",', 'wire="answers", simulates=True,', "simulates, and plugin.toml"),
    ("handlers", TOML, 'wires = ["answers"]', 'wires = ["chat"]', "lends the wire 'chat', and no handler"),
    ("resolution", TOML, 'wire = "answers"\nal', 'wire = "questions"\nal', "no handler of toy:words for wire 'questions'"),
    ("resolution", ENTRY, "TEXT_GENERATE", "IMAGE_GENERATE", "no handler of toy:words"),
    ("resolution", ENTRY, "    return [", "    return 2 * [", "has several handlers of toy:words"),
    ("capabilities", CODE, "async def invoke", "async def submit", "has submit, and no poll and collect"),
    ("capabilities", CODE, "    async def invoke", "    async def collect(self): ...\n    async def invoke", "has collect"),
    ("capabilities", CODE, "    async def invoke", "    async def abort(self): ...\n    async def invoke", "no submit"),
    ("capabilities", CODE, "    async def invoke", "    def warm_start(self): ...\n    async def invoke", "no async"),
    ("capabilities", CODE, "async def stream", "async def stream(self): ...\n    async def other", "no async generator"),
    ("capabilities", CODE, "    def prepare", "    async def prepare", "prepare is async"),
    ("capabilities", CODE, "async def invoke", "async def submit_batch", "sends batches, and has no collect_batch"),
    ("capabilities", TOML, 'secrets = ["', 'batch = { max_requests = 9, max_bytes = 9 }\nsecrets = ["', "has batch limits"),
    ("prepare-pure", CODE, BODY, "        time()\n" + BODY, r"answers\.py:\d+\): prepare reads the clock \(time.time\)"),
    ("prepare-pure", CODE, BODY, "        random.choice([1, 2])\n" + BODY, "depends on chance"),
    ("prepare-pure", CODE, BODY, "        os.urandom(2)\n" + BODY, "depends on chance"),
    ("prepare-pure", CODE, BODY, "        os.environ.get('HOME')\n" + BODY, "reads the environment"),
    ("prepare-pure", CODE, BODY, "        open(__file__).close()\n" + BODY, r"uses files or the system \(open\)"),
    ("prepare-pure", CODE, BODY, "        os.listdir()\n" + BODY, r"uses files or the system \(listdir\)"),
    ("prepare-pure", CODE, BODY, "        socket.socket().close()\n" + BODY, r"reaches the network \(socket\)"),
    ("prepare-pure", CODE, BODY, "        job.options.pop('nested', 0)\n" + BODY, "changes the output_schema or the options"),
    ("prepare-pure", CODE, BODY, "        (wanted.output_schema or {}).clear()\n" + BODY, "changes the output_schema"),
    ("prepare-deterministic", CODE, BODY, '        job.options["n"] = next(COUNT)\n' + BODY, "in the same process"),
    ("prepare-deterministic", CODE, '{"model"', '{"s": list({"a", "b", "c", "d", "e"}), "model"', "in another process"),
    ("bodies", CODE, '{"model"', '{"deep": [{"s": {1}}], "model"', r"body\.deep\[0\]\.s: is a set"),
    ("bodies", CODE, '{"model"', '{"b": b"", "model"', "body.b: is a bytes"),
    ("bodies", CODE, '{"model"', '{"n": float("nan"), "model"', "body.n: is nan"),
    ("bodies", CODE, '{"model"', '{1: 2, "model"', "has the key 1, which is no text"),
    ("bodies", CODE, '(Expected("text", "text/plain"),)', "()", "expects is empty"),
    ("bodies", CODE, 'Expected("text", "text/plain")', 'Expected("blob", "image/png")', "expects blob image/png of text"),
    ("bodies", CODE, '"text/plain")', '"text/plain", count=0)', "expects count = 0"),
    ("bodies", CODE, '{"run": 1.0}', '{"run": -1.0}', "units must be amounts of 0 or more"),
    ("bodies", CODE, "if wanted.images", "if wanted.prompt or wanted.images", "prepare refuses the least"),
    ("bodies", CODE, "        return ProviderRequest", "        return body\n        ProviderRequest", "gives a dict"),
    ("no-silent-drop", CODE, '"seed", "language")', '"seed")', "language is left out in silence"),
    ("no-silent-drop", CODE, "if wanted.images or", "if", "images is left out in silence"),
    ("no-silent-drop", CODE, 'IGNORED = ("messages", ', "IGNORED = (", "messages is left out in silence"),
    ("no-silent-drop", CODE, ", **job.options}", "}", "an option that it does not know is left out"),
    ("refusals", CODE, "raise CapabilityUnsupportedError(", "raise RateLimitedError(", "RateLimitedError"),
    ("refusals", CODE, BODY, "        assert not wanted.system\n" + BODY, "system: prepare breaks: AssertionError"),
    ("refusals", CODE, BODY, '        job.options and int("x")\n' + BODY, "an unknown option: prepare breaks: ValueError"),
    ("errors", CODE, REFUSE, '            raise JobFailedError("no")\n        return', r"401: raises JobFailedError \(sent: finished\), and not auth"),
    ("errors", CODE, REFUSE, "            pass\n        return", "lets through KeyError"),
    ("errors", CODE, REFUSE, '            return JobResult((TextArtifact("x"),))\n        return', "503: gives a result, and not"),
    ("errors", CODE, REFUSE, '            dict.pop(reply.headers, "retry-after", 0)\n' + REFUSE, "retry_after = None; the vendor said"),
    ("errors", CODE, SEND, '        raise JobFailedError("x")\n' + SEND, "sends nothing to context.origin"),
    ("no-retry", CODE, SEND, '        await context.http.send("GET", "/ready")\n' + SEND, "sends 2 requests for one call"),
    ("no-retry", CODE, SEND, '        raise JobFailedError("x")\n' + SEND, "sends no request"),
    ("no-secret", CODE, '"the toy says no", ref=str(request.ref))\n        return', "str(headers))\n        return", "field user_message|message"),
    ("no-secret", CODE, "ref=str(request.ref))\n        return", "raw=headers)\n        return", "stands in the field raw"),
    ("no-secret", CODE, "ref=str(request.ref))\n        return", "ref='') from KeyError(str(headers))\n        return", "traceback"),
    ("streams", CODE, END, "", "an empty stream: ends in silence"),
    ("streams", CODE, END, "        yield StreamFinished(JobResult(()))\n", "says that it is finished"),
    ("streams", CODE, END, '        raise ValueError("x")\n', "lets through ValueError"),
    ("streams", CODE, "last event\", sent=Sent.UNKNOWN", "last event\"", "with sent = finished"),
    ("streams", CODE, "                    return\n", "", "the whole sample: raises"),
    ("streams", CODE, "                yield TextDelta", "                yield StreamFinished(JobResult(()))\n                yield TextDelta", "is not the last event, once"),
    ("streams", CODE, "        async with context.http.stream(", "        await context.http.send('GET', '/x')\n        async with context.http.stream(", "sends 2 requests"),
]  # fmt: skip


def test_a_good_plugin_passes_every_check(install_toy) -> None:
    """Nothing is found, and every check had something to look at."""
    report = conformance(install_toy(), streams={"answers": STREAM})
    report.assert_ok()
    assert [outcome.state for outcome in report.outcomes] == [CheckState.PASSED] * 15


@pytest.mark.parametrize("case", BROKEN, ids=[f"{case[0]}-{n}" for n, case in enumerate(BROKEN)])
def test_a_broken_plugin_is_found(install_toy, case: tuple[str, ...]) -> None:
    """By the check that is for it, in words that say what is wrong, with a remedy."""
    check, file, old, new, said = case
    report = conformance(install_toy((file, old, new)), only=[check], streams={"answers": STREAM})
    (outcome,) = report.outcomes
    assert outcome.state is CheckState.FAILED, report.text
    assert re.search(said, outcome.text), outcome.text
    with pytest.raises(AssertionError, match=f"callsheet_toy fails 1 of 1 conformance checks:\nfailed +{check}: "):
        report.assert_ok()
    assert f"repair: {outcome.check.remedy}" in outcome.text


def test_every_check_is_known_to_fail() -> None:
    """No check without a plugin that it finds fault with."""
    assert {case[0] for case in BROKEN} == {check.id for check in CHECKS}
    assert len(CHECKS) == len({check.id for check in CHECKS}) == 15


def test_a_connection_that_stays_open_is_found(install_toy) -> None:
    """A stream that was left must not keep its connection until the client is closed."""
    block = '        async with context.http.stream("POST", "/stream", json=dict(request.body)) as reply:\n'
    opened = block.replace("        async with ", "        KEPT.append(").replace(" as reply:\n", ")\n")
    kept = opened + "        reply = await KEPT[-1].__aenter__()\n        if True:\n"
    name = install_toy((CODE, block, kept), (CODE, "COUNT =", "KEPT = []\nCOUNT ="))
    report = conformance(name, only=["streams"], streams={"answers": STREAM})
    assert "the connection stays open after the stream was left" in report.text


def test_a_plugin_that_is_not_there(site) -> None:
    """One finding; everything else waits for it."""
    report = conformance("callsheet_nowhere")
    assert [outcome.check.id for outcome in report.failed] == ["manifest"]
    assert {outcome.state for outcome in report.outcomes[1:]} == {CheckState.NOT_APPLICABLE}
    assert "is no installed plugin" in report.text


def test_what_does_not_apply_says_why(install_toy) -> None:
    """A plugin without an origin, secrets and streams passes, and the report tells what was not looked at."""
    name = install_toy(
        (TOML, 'origin = "https://api.toy.example/v1"', ""), (CODE, "async def stream", "async def _stream")
    )
    report = conformance(name)
    report.assert_ok()
    reasons = {outcome.check.id: outcome.reason for outcome in report.outcomes if outcome.reason}
    assert sorted(reasons) == ["errors", "no-retry", "no-secret", "streams"]
    assert reasons["errors"] == "its models have no origin: it reaches no host"


def test_samples_stand_in_for_the_usual_values(install_toy) -> None:
    """A model that does not take the usual least job gets the author's values, by model or by wire."""
    name = install_toy((CODE, "if wanted.images", 'if job.options.get("size") != 3 or wanted.images'))
    assert not conformance(name, only=["bodies"]).ok
    for key in ("words", "answers"):
        conformance(name, only=["bodies"], samples={key: {"options": {"size": 3}}}).assert_ok()


def test_the_report_is_data(install_toy) -> None:
    """For a command and for CI."""
    report = conformance(install_toy(), only=["manifest", "rows"])
    document = json.loads(json.dumps(report.as_json()))
    assert (document["plugin"], document["ok"]) == ("callsheet_toy", True)
    assert [(each["id"], each["state"], each["findings"]) for each in document["checks"]] == [
        ("manifest", "passed", []),
        ("rows", "passed", []),
    ]
    with pytest.raises(ConfigError, match="no conformance check 'row'; did you mean 'rows'"):
        conformance("callsheet_toy", only=["row"])
