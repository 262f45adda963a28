"""Checks of `prepare`: each finds the plugin that it is for."""

from __future__ import annotations

from kit_tests.faults import BrokenPlugins

from callsheet.testing import conformance
from callsheet.testing.prepare_checks import TABLE

TOML, CODE = "plugin.toml", "answers.py"
BODY = '        body = {"model"'
BROKEN = [
    ("prepare-offline", CODE, BODY, "        socket.socket().close()\n" + BODY, r"answers\.py:\d+\): prepare reaches the network \(socket\)"),
    ("prepare-offline", CODE, BODY, "        os.system('true')\n" + BODY, r"prepare starts a process \(system\)"),
    ("prepare-pure", CODE, BODY, "        time()\n" + BODY, r"answers\.py:\d+\): prepare reads the clock \(time.time\)"),
    ("prepare-pure", CODE, BODY, "        random.choice([1, 2])\n" + BODY, "depends on chance"),
    ("prepare-pure", CODE, BODY, "        os.urandom(2)\n" + BODY, "depends on chance"),
    ("prepare-pure", CODE, BODY, "        os.environ.get('HOME')\n" + BODY, "reads the environment"),
    ("prepare-pure", CODE, BODY, "        open(__file__).close()\n" + BODY, r"uses files or the system \(open\)"),
    ("prepare-pure", CODE, BODY, "        os.listdir()\n" + BODY, r"uses files or the system \(listdir\)"),
    ("prepare-silent", CODE, BODY, "        print('hi')\n" + BODY, r"toy:words: prepare prints 'hi\\n'"),
    ("prepare-keeps-job", CODE, BODY, "        job.options['x'] = 1\n" + BODY, "changes the inputs or options"),
    ("prepare-keeps-job", CODE, BODY, "        job.options.pop('nested', 0)\n" + BODY, "changes the output_schema or the options"),
    ("prepare-keeps-job", CODE, BODY, "        (wanted.output_schema or {}).clear()\n" + BODY, "changes the output_schema"),
    ("prepare-keeps-job", CODE, BODY, '        if wanted.output_schema:\n            raise InvalidRequestError("none", sent=Sent.NOT_SENT)\n        job.options.get("nested", {}).clear()\n' + BODY, "changes the output_schema or the options"),
    ("prepare-repeats", CODE, BODY, '        job.options["n"] = next(COUNT)\n' + BODY, "in the same process"),
    ("prepare-deterministic", CODE, '{"model"', '{"s": list({"a", "b", "c", "d", "e"}), "model"', "in another process"),
    ("prepare-deterministic", CODE, '{"model"', '{"s": hash("a"), "model"', "in another process"),
    ("no-silent-drop", CODE, '"seed", "language")\nCOUNT', '"seed")\nCOUNT', "language is left out in silence"),
    ("no-silent-drop", CODE, "if wanted.images or", "if", "images is left out in silence"),
    ("no-silent-drop", CODE, 'IGNORED = ("messages", ', "IGNORED = (", "messages is left out in silence"),
    ("no-silent-drop", CODE, "TAKEN}, **job.options}", 'TAKEN}, **job.options, "temperature": wanted.temperature and 0.2}', "temperature 1.0 becomes what 0.25 becomes, without a warning"),
    ("no-silent-drop", CODE, "if getattr(wanted, name) not in (None, ())", "if getattr(wanted, name)", "seed 0 does not stand in the body, and is not warned of"),
    ("no-silent-drop", CODE, "TAKEN}, **job.options}", 'TAKEN}, **job.options, "temperature": wanted.temperature or None}', "temperature 0 does not stand in the body"),
    ("no-silent-drop", CODE, '"max_tokens", "seed", "language")\nCOUNT', '"seed", "language")\nCOUNT', "max_tokens is left out in silence"),
    ("options", CODE, "TAKEN}, **job.options}", "TAKEN}}", "an option that it does not know is left out"),
    ("options", CODE, 'if "model" in job.options', "if False", "toy:words: the option model calls another model than the row"),
    ("options", CODE, 'job.options.get("n", given.count or 1)', "given.count or 1", "the option n sends what count = 2 sends, and not what it promises"),
    ("refusals", CODE, "raise CapabilityUnsupportedError(", "raise RateLimitedError(", "RateLimitedError"),
    ("refusals", CODE, BODY, "        assert not wanted.system\n" + BODY, "system: prepare breaks: AssertionError"),
    ("refusals", CODE, BODY, '        job.options and int("x")\n' + BODY, "an unknown option: prepare breaks: ValueError"),
    ("refusals-told", CODE, 'f"{job.ref} takes no files", ref=str(job.ref)', '"no"', "names neither the model nor what it refuses: no"),
    ("refusals-told", CODE, 'files", ref=str(job.ref)', 'files", sent=Sent.UNKNOWN', "with sent = unknown: nothing was sent"),
    ("undeclared-files", CODE, "if wanted.images or wanted.files", "if wanted.files", "images: the file is not in the body"),
    ("undeclared-files", CODE, "raise CapabilityUnsupportedError(", "raise InvalidRequestError(", "images: prepare raises InvalidRequestError"),
    ("undeclared-files", CODE, "if given.mask:", "if False:", "toy:picture: mask: the file is not in the body"),
    ("declared-capabilities", TOML, '["count", "images"]', '["count", "seed"]', "declares seed, and takes none of its usual values"),
    ("declared-capabilities", TOML, '["count", "images"]', '["mask"]', "declares mask, and takes none"),
    ("warnings-told", CODE, 'f"{job.ref} takes no {name}", name)\n            for name in IGNORED', '"", name)\n            for name in IGNORED', "has no message"),
    ("warnings-told", CODE, "name)\n            for name in IGNORED", '"colour")\n            for name in IGNORED', "a warning is about 'colour'"),
]  # fmt: skip


class TestTable(BrokenPlugins):
    """Each of the plugins above, and each check."""

    table, broken = TABLE, BROKEN


def test_a_plugin_that_takes_no_files_and_declares_nothing(install_toy) -> None:
    """Then there is nothing to look at."""
    name = install_toy((TOML, 'capabilities = ["count", "images"]\n', ""))
    (outcome,) = conformance(name, only=["declared-capabilities"]).outcomes
    assert outcome.reason == "no row declares a capability that is an attribute"
