"""Checks of what `prepare` makes: each finds the plugin that it is for."""

from __future__ import annotations

from kit_tests.faults import BrokenPlugins

from callsheet.testing.body_checks import TABLE

CODE = "answers.py"
BROKEN = [
    ("prepare-least", CODE, "if wanted.images", "if wanted.prompt or wanted.images", "prepare refuses the least"),
    ("prepare-least", CODE, "        return ProviderRequest", "        return body\n        ProviderRequest", "gives a dict"),
    ("prepare-least", CODE, 'ProviderRequest(job.ref, job.operation, body', 'ProviderRequest(job.ref, "x", body', "gives a request of toy:words, x"),
    ("bodies", CODE, '{"model"', '{"deep": [{"s": {1}}], "model"', r"body\.deep\[0\]\.s: is a set"),
    ("bodies", CODE, '{"model"', '{"b": b"", "model"', "body.b: is a bytes"),
    ("bodies", CODE, '{"model"', '{"n": float("nan"), "model"', "body.n: is nan"),
    ("bodies", CODE, '{"model"', '{1: 2, "model"', "has the key 1, which is no text"),
    ("body-schema", CODE, '"n": number', '"n": str(number)', r"is not valid by schemas/picture.json: n: "),
    ("body-schema", CODE, '"n": number', '"number": number', "is not valid by schemas/picture.json"),
    ("texts", CODE, "getattr(wanted, name) for name in TAKEN", "(getattr(wanted, name) or '').replace(chr(10), ' ') if name == 'prompt' else getattr(wanted, name) for name in TAKEN", "toy:words: the text"),
    ("texts", CODE, '"prompt": given.prompt', '"prompt": ascii(given.prompt)', "toy:picture: the text"),
    ("expects", CODE, '(Expected("text", "text/plain"),)', "()", "expects is empty"),
    ("expects", CODE, 'Expected("text", "text/plain")', 'Expected("blob", "image/png")', "expects blob image/png of text"),
    ("expects", CODE, '"text/plain")', '"text/plain", count=0)', "expects count = 0"),
    ("expected-output", CODE, '"image/png", count', '"image/webp", count', "has the output image/png, and its least job expects image/webp"),
    ("refused-fields", "plugin.toml", 'title = "Words"\n', 'title = "Words"\ndata = { refuses = ["seed", "top_p"] }\n', "toy:words: data.refuses has 'seed', and leaves nothing out"),
    ("expected-count", CODE, "count=number", "count=1", "count = 2 is taken, and 1 expected"),
    ("units", CODE, '{"run": 1.0}', '{"run": -1.0}', "counts -1.0 run: units are amounts of 0 or more"),
    ("units", CODE, '{"run": 1.0}', '{"run": True}', "counts True run"),
    ("units-priced", CODE, '{"run": 1.0}', "{}", "is priced per run, and the least job counts none"),
    ("units-scale", CODE, '{"image": float(number)}', '{"image": 1.0}', "counts 1 image for the least job, and no more for .'count': 2."),
]  # fmt: skip


class TestTable(BrokenPlugins):
    """Each of the plugins above, and each check."""

    table, broken = TABLE, BROKEN
