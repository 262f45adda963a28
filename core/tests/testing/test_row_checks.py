"""Checks of model rows: each finds the plugin that it is for."""

from __future__ import annotations

from kit_tests.faults import BrokenPlugins

from callsheet.testing.row_checks import TABLE

TOML, SCHEMA = "plugin.toml", "schemas/picture.json"
PRICE = '{ per = "run", usd = 0.01, as_of = "2026-08-01", source = "toy.example/pricing" }'
BROKEN = [
    ("rows", TOML, "text.generate", "text.generates", "operation has no 'text.generates'"),
    ("rows", TOML, 'model = "picture"', 'model = "words"', "toy:words: has 2 rows"),
    ("aliases", TOML, 'aliases = ["w"]', 'aliases = ["w", "w"]', "toy:w: names 2 models: words, words"),
    ("aliases", TOML, 'aliases = ["w"]', 'aliases = ["picture"]', "toy:picture: names 2 models"),
    ("titles", TOML, 'title = "Words"\n', "", "toy:words: has no title"),
    ("titles", TOML, 'title = "Words"\n', 'title = " "\n', "toy:words: has no title"),
    ("prices", TOML, "2026-08-01", "2999-08-01", "a day that has not come"),
    ("prices", TOML, 'price = [{ per = "run"', f'price = [{PRICE}, {{ per = "run"', "has 2 prices per run"),
    ("deprecations", TOML, "ends on 2030-01-31", "old", "without a date and without a replacement: 'old'"),
    ("row-outputs", TOML, 'output = "text/plain"', 'output = "image/png"', "output image/png of text.generate, which makes text"),
    ("row-outputs", TOML, 'output = "text/plain"', 'output = "words"', "write a media type"),
    ("schemas", TOML, "schemas/picture.json", "schemas/pictures.json", "schemas/pictures.json is not in the package"),
    ("schemas", SCHEMA, '"type": "string"', '"type": "text"', "is no JSON Schema"),
    ("schemas", SCHEMA, '"additionalProperties"', '"additionalProperties', "is no JSON Schema"),
    ("schema-defaults", SCHEMA, '"default": 1', '"default": 9', "toy:picture n: has a default that its schema does not take: 9"),
    ("schema-defaults", SCHEMA, '"type": "array"', '"type": "array", "default": ""', "toy:picture images: has a default"),
    ("schema-fields", TOML, 'count = "n"', 'count = "number"', "maps count to 'number', which its schema does not have"),
]  # fmt: skip


class TestTable(BrokenPlugins):
    """Each of the plugins above, and each check."""

    table, broken = TABLE, BROKEN
