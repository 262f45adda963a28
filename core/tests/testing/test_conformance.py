"""The conformance kit: a good plugin passes, what is refused or does not apply says why, and the tests that a class makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from callsheet.errors import ConfigError
from callsheet.testing import (
    CHECKS,
    Conformance,
    body_checks,
    conformance,
    error_checks,
    handler_checks,
    import_checks,
    manifest_checks,
    prepare_checks,
    row_checks,
    stream_checks,
)
from callsheet.testing.conformance import CHECK_TABLES
from callsheet.testing.report import CheckStatus

TOML, CODE = "plugin.toml", "answers.py"
SEND = '        reply = await context.http.send("POST"'
TWICE = f'        await context.http.send("GET", "/ready")\n{SEND}'
REASON = "the vendor wants a ticket first"
THEMES = (
    *(manifest_checks, row_checks, import_checks, handler_checks),
    *(prepare_checks, body_checks, error_checks, stream_checks),
)
STREAM = b'data: {"text": "lava "}\n\ndata: {"text": "cools"}\n\ndata: {"done": true}\n\n'


def test_a_good_plugin_passes_what_needs_no_counterpart(install_toy) -> None:
    """Nothing is found; three checks have nothing to look at."""
    wanted = [check.id for theme in THEMES for _, check in theme.TABLE]
    report = conformance(install_toy(), only=wanted, streams={"answers": STREAM})
    report.assert_ok()
    idle = {outcome.check.id for outcome in report.outcomes if outcome.status is not CheckStatus.PASSED}
    assert idle == {"commands", "batch-limits", "refused-fields"}


def test_ids_are_unique_kebab_case_and_many() -> None:
    """They stand in reports, in refusals and in the names of tests."""
    ids = [check.id for table in CHECK_TABLES.values() for _, check in table]
    assert len(ids) == len(set(ids)) == len(CHECKS) >= 60
    assert all(part.isalnum() and part.islower() for name in ids for part in name.split("-"))
    assert all(check.holds and check.repair for check in CHECKS)


def test_a_plugin_that_is_not_there(site) -> None:
    """One finding; everything else waits for it."""
    report = conformance("callsheet_nowhere")
    assert [outcome.check.id for outcome in report.failed] == ["manifest"]
    assert {outcome.status for outcome in report.outcomes[1:]} == {CheckStatus.NOT_APPLICABLE}
    assert "is no installed plugin" in report.text


def test_what_does_not_apply_says_why(install_toy) -> None:
    """A plugin that reaches no host passes, and the report tells what was not looked at."""
    name = install_toy((TOML, 'origin = "https://api.toy.example/v1"', ""), (TOML, 'secrets = ["TOY_KEY"]', ""))
    report = conformance(name, only=["error-quota", "no-retry", "no-secret", "streams", "origin"])
    report.assert_ok()
    reasons = {outcome.check.id: outcome.reason for outcome in report.outcomes if outcome.reason}
    assert sorted(reasons) == ["error-quota", "no-retry", "no-secret", "origin", "streams"]
    assert reasons["error-quota"] == "its models have no origin: it reaches no host"


def test_samples_stand_in_for_the_usual_values(install_toy) -> None:
    """A model that does not take the usual least job gets the author's values, by model or by wire, or as plugin.toml says."""
    demanding = (CODE, "if wanted.images", 'if job.options.get("size") != 3 or wanted.images')
    name = install_toy(demanding)
    assert not conformance(name, only=["prepare-least"]).ok
    for key in ("words", "answers"):
        conformance(name, only=["prepare-least"], samples={key: {"options": {"size": 3}}}).assert_ok()
    plugin = Path(sys.modules["callsheet_toy"].__path__[0]) / TOML
    told = "[conformance]\nsamples = { words = { options = { size = 3 } } }\n\n[provider]"
    plugin.write_text(plugin.read_text().replace("[provider]", told))
    conformance(name, only=["prepare-least", "prepare-deterministic"]).assert_ok()


def test_a_check_is_refused_with_a_reason(install_toy) -> None:
    """It is not carried out, and lowers the tier; the reason is told, given as an argument or in plugin.toml."""
    name = install_toy((CODE, SEND, TWICE))
    assert not conformance(name, only=["no-retry"]).ok
    report = conformance(name, only=["no-retry"], refuse={"no-retry": REASON})
    assert [(each.status, each.reason) for each in report.outcomes] == [(CheckStatus.REFUSED, REASON)]
    assert (report.ok, report.tier, report.why) == (True, "compatible", "refused: no-retry")


def test_a_refusal_in_plugin_toml(install_toy) -> None:
    """It counts as well; one of an unknown check, or without a reason, is a finding."""
    table = '[conformance]\nrefuse = {{ no-retry = "{}", no-retries = "{}" }}\n\n[provider]'
    name = install_toy((CODE, SEND, TWICE), (TOML, "[provider]", table.format(REASON, REASON)))
    report = conformance(name, only=["no-retry", "refused-checks"])
    assert {each.check.id: each.status for each in report.outcomes} == {
        "no-retry": "refused",
        "refused-checks": "failed",
    }
    assert "there is no conformance check 'no-retries'; did you mean 'no-retry'" in report.text
    assert (report.ok, report.tier) == (False, "failing")


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        ({"no-retry": ""}, "'no-retry' is refused without a reason"),
        ({"no-retry": "not needed"}, "'no-retry' is refused without a reason"),
        ({"no-retries": REASON}, "there is no conformance check 'no-retries'; did you mean 'no-retry'"),
    ],
)
def test_a_refusal_that_is_wrong(refused: dict[str, str], said: str) -> None:
    """The call and the making of the class fail."""
    with pytest.raises(ConfigError, match=said):
        conformance("callsheet_toy", refuse=refused)
    with pytest.raises(TypeError, match=f"TestToy: .*{said}"):
        type("TestToy", (Conformance,), {}, plugin="callsheet_toy", refuse=refused)


def test_an_unknown_check() -> None:
    """Its nearest neighbour is named."""
    with pytest.raises(ConfigError, match="no conformance check 'row'; did you mean 'rows'"):
        conformance("callsheet_toy", only=["row"])


def test_a_plugin_that_surprises_a_check_fails_that_check_alone(install_toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are told of nevertheless."""
    monkeypatch.setattr("callsheet.testing.row_checks.input_schema", lambda _: 1 / 0)
    report = conformance(install_toy(), only=["rows", "schemas"])
    assert [outcome.status for outcome in report.outcomes] == ["passed", "failed"]
    assert "test_conformance.py:" in report.text
    assert "the check itself breaks: ZeroDivisionError" in report.text


def test_the_report_is_data(install_toy) -> None:
    """For a command and for CI: what was examined, the tier and why, numbers, and each check."""
    name = install_toy((TOML, 'title = "Words"\n', ""))
    report = conformance(name, only=["manifest", "titles", "schemas"], refuse={"schemas": REASON})
    document = json.loads(json.dumps(report.as_json()))
    checks = {each["id"]: each for each in document.pop("checks")}
    del document["callsheet"]
    assert document == {
        "plugin": "callsheet_toy",
        "distribution": "callsheet-toy",
        "version": "1.0",
        "api": 1,
        "tier": "failing",
        "why": "1 of 3 checks failed",
        "passed": 1,
        "failed": 1,
        "refused": 1,
        "not_applicable": 0,
    }
    assert list(checks["titles"]) == ["id", "status", "holds", "findings", "reason", "repair"]
    assert checks["titles"]["findings"] == [{"where": "toy:words", "problem": "has no title"}]
    assert (checks["schemas"]["status"], checks["schemas"]["reason"]) == ("refused", REASON)


def test_a_class_has_a_test_for_each_check(install_toy) -> None:
    """Named after the check, with what holds as its docstring; it passes, or raises what the report says."""
    name = install_toy((TOML, 'title = "Words"\n', ""))
    made = type("TestToy", (Conformance,), {}, plugin=name, refuse={"no-retry": REASON})
    tests = {test for test in vars(made) if test.startswith("test_")}
    assert tests == {f"test_{check.id.replace('-', '_')}" for check in CHECKS}
    assert made.test_titles.__doc__ == "Every model row has a title."
    made().test_manifest()
    with pytest.raises(AssertionError, match="toy:words: has no title"):
        made().test_titles()


@pytest.mark.parametrize("of_base", [True, False])
def test_the_test_of_a_check_cannot_be_replaced(of_base: bool) -> None:
    """Not by the class, and not by one that it also inherits from."""
    own = {"test_no_retry": lambda _: None}
    bases = (type("Mine", (), own), Conformance) if of_base else (Conformance,)
    with pytest.raises(TypeError, match=r"TestToy replaces test_no_retry, .* refuse it with a reason"):
        type("TestToy", bases, {} if of_base else own, plugin="callsheet_toy")
    with pytest.raises(TypeError, match="replaces test_no_retry"):
        type("TestMore", (type("TestToy", (Conformance,), {}, plugin="callsheet_toy"),), own, plugin="callsheet_toy")


def test_a_class_may_be_made_again_for_another_plugin() -> None:
    """And one without a plugin may not."""
    first = type("TestOne", (Conformance,), {}, plugin="callsheet_one")
    second = type("TestTwo", (first,), {}, plugin="callsheet_two")
    with pytest.raises(AssertionError, match="callsheet_two fails 1 of 1"):
        second().test_manifest()
    with pytest.raises(TypeError, match="TestNone needs the plugin"):
        type("TestNone", (Conformance,), {})


PAGE = """
from callsheet.testing import Conformance
class TestToy(Conformance, plugin="callsheet_toy", refuse={"no-retry": "the vendor wants a ticket first"}): ...
"""


def test_pytest_runs_it(install_toy, site, tmp_path: Path) -> None:
    """Each check is a test; a failure is the report's words and none of our lines; what is refused is skipped, with the reason."""
    install_toy((TOML, 'title = "Words"\n', ""), (CODE, SEND, TWICE))
    (tmp_path / "test_toy.py").write_text(PAGE)
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site.folder), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    wanted = "titles or no_retry or manifest or row_outputs"
    command = [sys.executable, "-m", "pytest", "-rs", "-v", "-p", "no:cacheprovider", "-k", wanted, "test_toy.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert "TestToy::test_row_outputs PASSED" in done.stdout, done.stdout + done.stderr
    assert "TestToy::test_titles FAILED" in done.stdout
    assert "- toy:words: has no title" in done.stdout
    assert "refused: the vendor wants a ticket first" in done.stdout
    assert "1 failed, 2 passed, 1 skipped" in done.stdout
    assert "def test(" not in done.stdout


def test_it_does_not_import_pytest() -> None:
    """Programs use it, too."""
    code = "import sys, callsheet.testing; print([name for name in ('pytest', '_pytest') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
