"""Checks of handlers: each finds the plugin that it is for."""

from __future__ import annotations

from kit_tests.faults import BrokenPlugins

from callsheet.testing.handler_checks import TABLE

TOML, ENTRY, CODE = "plugin.toml", "__init__.py", "answers.py"
TWO_KINDS = "MADE = []\n\n\ndef answers():\n    MADE.append(1)\n    if len(MADE) > 1:\n        return {}"
BATCH = "".join(f"    async def {name}(self, *given): ...\n" for name in ("submit_batch", "poll", "collect_batch"))
BATCH += "    def batch_group(self, request): ...\n"
BROKEN = [
    ("handlers", ENTRY, "callsheet_register_handlers", "callsheet_register_handler", "did you mean"),
    ("handlers", ENTRY, 'HandlerSpec("toy", answers', 'HandlerSpec("other", answers', "registers a handler for 'other'"),
    ("handlers", ENTRY, 'wire="answers",', 'wire="answers", simulates=True,', "simulates, and plugin.toml"),
    ("factories", ENTRY, "    return Answers()", "    return Answers(1)", "wire 'answers': its factory raises TypeError"),
    ("factories", ENTRY, "    return Answers()", "    import os\n    os.environ.get('A')\n    return Answers()", "its factory reads the environment"),
    ("factories", ENTRY, "    return Answers()", "    import socket\n    socket.socket().close()\n    return Answers()", "reaches the network"),
    ("factories", ENTRY, "def answers():", TWO_KINDS, "makes a Answers, and then a dict"),
    ("resolution", TOML, 'wire = "answers"', 'wire = "questions"', "no handler of toy:words for wire 'questions'"),
    ("resolution", ENTRY, "TEXT_GENERATE", "SPEECH_GENERATE", "no handler of toy:words"),
    ("resolution", ENTRY, "    return [\n", "    return 2 * [\n", "has several handlers of toy:words"),
    ("capabilities", CODE, "async def invoke", "async def submit", "has submit, and no poll and collect"),
    ("capabilities", CODE, "    async def invoke", "    async def collect(self): ...\n    async def invoke", "has collect"),
    ("capabilities", CODE, "    async def invoke", "    async def abort(self): ...\n    async def invoke", "no submit"),
    ("capabilities", CODE, "async def invoke", "async def submit_batch", "sends batches, and has no collect_batch"),
    ("async-methods", CODE, "    async def invoke", "    def warm_start(self, start): ...\n    async def invoke", "no async"),
    ("async-methods", CODE, "async def stream", "async def stream(self): ...\n    async def other", "no async generator"),
    ("async-methods", CODE, "    def prepare", "    async def prepare", "prepare is async"),
    ("signatures", CODE, "invoke(self, request, context)", "invoke(self, request)", r"invoke\(request\) cannot be called \(too many"),
    ("signatures", CODE, "invoke(self, request, context)", "invoke(self, request, context, key)", "cannot be called .missing a required"),
    ("signatures", CODE, "prepare(self, job)", "prepare(self, job, strict=False)", "prepare.* has strict, which nobody gives"),
    ("batch-limits", TOML, 'secrets = ["', 'batch = { max_requests = 9, max_bytes = 9 }\nsecrets = ["', "has batch limits"),
    ("batch-limits", CODE, "    async def invoke", f"{BATCH}    async def invoke", "sends batches, and plugin.toml does not say"),
]  # fmt: skip


class TestTable(BrokenPlugins):
    """Each of the plugins above, and each check."""

    table, broken = TABLE, BROKEN
