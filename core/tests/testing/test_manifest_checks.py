"""Checks of plugin.toml: each finds the plugin that it is for."""

from __future__ import annotations

from kit_tests.faults import BrokenPlugins

from callsheet.testing import conformance
from callsheet.testing.manifest_checks import TABLE
from callsheet.testing.report import CheckStatus

TOML, ENTRY = "plugin.toml", "__init__.py"
HOOK = "@hookimpl\ndef callsheet_register_handlers"
COMMAND = """
@hookimpl
def callsheet_register_commands(cli):
    import click

    cli.add_command(click.Command("dream"))


"""
BROKEN = [
    ("manifest", TOML, "api = 1", "api = 99", "is written for plugin api 99"),
    ("manifest", TOML, 'secrets = ["TOY_KEY"]', 'secret = "TOY_KEY"', "unknown key 'secret'"),
    ("manifest", TOML, '"callsheet_toy.testing:ToyServer"', '"callsheet_toy.testing"', "loopback must be package.module:Class"),
    ("dependency", "METADATA", "Requires-Dist: callsheet>=0.1", "", "does not require callsheet"),
    ("dependency", "METADATA", "callsheet>=0.1", "callsheet-mock>=0.1", "does not require callsheet"),
    ("dependency", "METADATA", ">=0.1", "", "say from which version on"),
    ("docs", TOML, 'title = "Toy"\n', "", "has no title"),
    ("docs", TOML, 'docs_url = "https://toy.example/docs"\n', "", "docs_url is missing"),
    ("docs", TOML, 'docs_url = "https', 'docs_url = "http', "docs_url must begin with https://"),
    ("origin", TOML, 'origin = "https://api.toy.example/v1"', "", "has secrets, and no origin"),
    ("origin", TOML, "https://api.toy.example/v1", "http://127.0.0.1:8000", "and not https://"),
    ("origin-override", TOML, 'origin_env = "TOY_BASE_URL"', "", "no origin_env which overrides it"),
    ("origin-override", TOML, "TOY_BASE_URL", "TOY_KEY", "both origin_env and a secret"),
    ("secret-names", TOML, "TOY_KEY", "API_KEY", "does not say whose it is"),
    ("secret-names", TOML, '["TOY_KEY"]', '["TOY_KEY", "TOY_KEY"]', "declares the secret TOY_KEY twice"),
    ("provides", TOML, 'provides = ["models"]', "", "has models, and provides does not say so"),
    ("provides", TOML, '["models"]', '["models", "events"]', "provides events, and there is no callsheet_job_event"),
    ("provides", TOML, '["models"]', '["models", "stores"]', "provides stores, and there is no callsheet_register_stores"),
    ("provides", ENTRY, HOOK, f"@hookimpl\ndef callsheet_register_middleware():\n    return []\n\n\n{HOOK}", "does not name 'middleware'"),
    ("commands", TOML, "wires =", 'commands = ["dream"]\nwires =', "declares the command 'dream', and it is not registered"),
    ("commands", ENTRY, HOOK, f"{COMMAND}{HOOK}", "does not declare the command 'dream'"),
    ("wires", TOML, 'wires = ["answers"]', 'wires = ["chat"]', "lends the wire 'chat', and no handler"),
    ("loopback", TOML, ":ToyServer", ":Toys", "cannot be imported: AttributeError"),
    ("loopback", TOML, "toy.testing:", "toy.tests:", "cannot be imported: ModuleNotFoundError"),
    ("loopback", TOML, ".testing:ToyServer", ".answers:Answers", "is no LoopbackServer"),
    ("loopback", "testing.py", "key=", "token=", "cannot be made with key="),
    ("loopback", "testing.py", "        self.key = key", "    running = None", "are lists"),
    ("loopback", ENTRY, "\ndef answers", "\nimport callsheet_toy.testing\n\ndef answers", "only tests and checks do"),
]  # fmt: skip


class TestTable(BrokenPlugins):
    """Each of the plugins above, and each check."""

    table, broken = TABLE, BROKEN


def test_what_a_provider_without_a_key_leaves_out(install_toy) -> None:
    """It needs no origin, and no names of secrets; a counterpart is nobody's duty."""
    name = install_toy(
        (TOML, 'origin = "https://api.toy.example/v1"\n', ""),
        (TOML, 'origin_env = "TOY_BASE_URL"\n', ""),
        (TOML, 'secrets = ["TOY_KEY"]\n', ""),
        (TOML, 'loopback = "callsheet_toy.testing:ToyServer"\n', ""),
    )
    report = conformance(name, only=["origin", "origin-override", "secret-names", "loopback", "commands"])
    assert {outcome.status for outcome in report.outcomes} == {CheckStatus.NOT_APPLICABLE}
    assert all(outcome.reason for outcome in report.outcomes)
