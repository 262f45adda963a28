"""The reference pages say what the code says: keys, signatures, fields, kinds and floors are compared."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest
from references.floors import floors
from references.pages import CODE, DOCS, ROOT, named, read, section, table

import callsheet
from callsheet import (
    config,
    errors,
    hookspecs,
    manifest,
    plan,
    plugin_manifest,
    policy_tables,
    runner,
    runs,
    secrets,
    sheet,
    storage,
    templates,
    testing,
)
from callsheet.artifacts import BlobArtifact
from callsheet.context import JobContext, WarmStart
from callsheet.errors import CallsheetError, ConfigError, ErrorKind, ProviderError, Sent
from callsheet.handler import HandlerSpec
from callsheet.inputs import attribute_names, file_attributes, inputs_type, list_attributes
from callsheet.jobs import AbortOutcome, JobResult, Receipt
from callsheet.models import ModelInfo, Operation
from callsheet.selector import Candidate, SelectionRequest
from callsheet.settings import Settings
from callsheet.testing.report import CheckStatus, Tier


def test_change_table_names_modules():
    """Where to look is a module that exists."""
    text = section(read("explanation/architecture.md"), "I want to change X: look in Y")
    modules = {name for *_, rows in floors() for row in rows for name in row}
    for row in table(text, "I want to change"):
        looked = [name for name in CODE.findall(row[1]) if "-" not in name]
        assert not looked or looked[0] in modules, row


def test_attribute_table_is_that_of_the_code():
    """Every operation has its row, with exactly its attributes in order, and what it needs."""
    rows = table(section(read("reference/call-sheet.md"), "Attributes"), "operation")
    assert named(rows) == [operation.value for operation in Operation]
    for row in rows:
        operation = Operation(CODE.findall(row[0])[0])
        assert tuple(CODE.findall(row[2])) == attribute_names(operation), operation
        assert tuple(CODE.findall(row[1])) == inputs_type(operation).required[0], operation


def test_attribute_meanings_are_complete():
    """Every attribute is explained once, and said to be a file exactly when it is one."""
    rows = table(section(read("reference/call-sheet.md"), "Attributes"), "attribute")
    known = {name for operation in Operation for name in attribute_names(operation)}
    assert named(rows) == sorted(known)
    files = {name for operation in Operation for name in file_attributes(operation)}
    several = {name for operation in Operation for name in list_attributes(operation)}
    for row in rows:
        name, kind = CODE.findall(row[0])[0], row[1]
        assert (kind in ("file", "files")) == (name in files), name
        assert (kind in ("files", "list")) == (name in several), name


def test_producer_keys_are_those_of_the_code():
    """The table of a producer's own keys, those of a model entry, and the reserved names."""
    text = read("reference/call-sheet.md")
    assert set(named(table(section(text, "A producer"), "key"))) == set(sheet._OWN_KEYS)
    assert named(table(section(text, "models"), "key")) == list(sheet._MODEL_KEYS)
    reserved = {name for name in sheet._RESERVED if not re.fullmatch(r"(com|lpt)[2-8]", name)}
    assert set(CODE.findall(section(text, "Top level"))) >= reserved
    assert named(table(section(text, "Top level"), "key")) == ["title", "inputs", "producers"]


def test_filters_are_those_of_the_code():
    """The list of filters is the sandbox's own."""
    told = section(read("reference/call-sheet.md"), "Templates").partition("Filters: ")[2].partition("\n\n")[0]
    assert CODE.findall(told) == sorted(name for name in templates._environment().filters if name[0] != "_")


def configuration_rows() -> dict[tuple[str, str], list[str]]:
    """The rows of the page by each table that they are for, and key."""
    rows = table(section(read("reference/configuration.md"), "Keys"), "table")
    return {(of, (CODE.findall(row[1]) or ["*"])[0]): row for row in rows for of in CODE.findall(row[0])}


def test_configuration_keys_are_documented(tmp_path):
    """Every table and key that `callsheet.toml` may have is on the page; the code's own complaint lists them."""

    def complaint(text: str) -> set[str]:
        (tmp_path / "callsheet.toml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            config.load_settings(tmp_path)
        return set(str(caught.value).partition("known are ")[2].partition(";")[0].split(", "))

    documented = set(configuration_rows())
    assert {name.partition(".")[0] for name, _ in documented} == complaint("zzzzzz = 1")
    listed = {name for name, _ in documented} - {"aliases", "models"}
    assert listed > {"run", "retry", "retry.KEY"}
    for name in listed:
        header = f"[{name.replace('KEY', 'acme').replace('NAME', 'acme')}]"
        assert {key for of, key in documented if of == name} == complaint(f"{header}\nzzzzzz = 1"), name


def test_configuration_defaults_are_those_of_the_code():
    """What holds where no file says anything."""
    rows = configuration_rows()
    for (of, key), value in policy_tables.policy_defaults().items():
        shown = "none" if value is None else str(value) if isinstance(value, str) else f"{value:g}"
        assert rows[of, key][3] == shown, (of, key)
    assert rows["run", "concurrency"][3] == str(Settings().concurrency)
    assert rows["secrets", "keyring"][3] == str(Settings().secrets.keyring).lower()


def test_configuration_of_the_user_is_accepted(tmp_path, monkeypatch):
    """The page's second file, at its place, over the first one."""
    first, second = re.findall(r"```toml\n(.*?)```", read("reference/configuration.md"), re.DOTALL)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for path, text in ((config.user_config(), second), (tmp_path / "callsheet.toml", first)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    settings = config.load_settings(tmp_path)
    assert settings.policies.money == callsheet.MoneyPolicy(Decimal(5), Decimal(20), Decimal("2.5"), "refuse")
    assert settings.policies.retry("openai/m") == callsheet.RetryPolicy(attempts=3, seconds=120)
    assert settings.policies.limit("openai/gpt-6.1-sol").tokens == 500
    assert list(settings.secrets.commands) == ["OPENAI_API_KEY"]


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("Top level", plugin_manifest._TOP),
        ("Provider", plugin_manifest._PROVIDER),
        ("Batches", plugin_manifest._BATCH),
        ("Model rows", plugin_manifest._ROW),
        ("Prices", plugin_manifest._PRICE),
    ],
)
def test_plugin_toml_keys_are_those_of_the_code(heading, known):
    """The tables of plugin.toml have exactly the keys that its reader accepts, in its order."""
    assert named(table(section(read("reference/plugin-toml.md"), heading), "key")) == list(known)


def test_plugin_toml_choices_are_those_of_the_code():
    """`provides` and `rate_keys` list what there is to choose from."""
    rows = table(section(read("reference/plugin-toml.md"), "Top level"), "key")
    provides = next(row for row in rows if row[0] == "`provides`")
    assert CODE.findall(provides[2])[: len(plugin_manifest.PROVIDES)] == list(plugin_manifest.PROVIDES)
    rows = table(section(read("reference/plugin-toml.md"), "Provider"), "key")
    assert CODE.findall(next(row for row in rows if row[0] == "`rate_keys`")[2]) == list(plugin_manifest.RATE_KEYS)


def hooks() -> dict[str, object]:
    """The hooks by name."""
    return {name: each for name, each in vars(hookspecs).items() if name.startswith("callsheet_")}


def test_every_hook_has_its_heading():
    """The headings are the hooks, in the order of the code."""
    found = re.findall(r"^## (callsheet_\w+)$", read("reference/hooks.md"), re.MULTILINE)
    assert found == list(hooks())


HOOK = re.compile(r"^ *(?:async )?def (callsheet_\w+)\(", re.MULTILINE)


def test_every_hook_is_used_by_the_plugin_of_the_page():
    """Which is installed and run where the page is carried out from top to bottom."""
    blocks = re.findall(r"```python\n# src(.*?)```", read("reference/hooks.md"), re.DOTALL)
    assert {name for block in blocks for name in HOOK.findall(block)} == set(hooks())


def test_every_hook_has_a_test():
    """Some test has a plugin with that hook."""
    tests = [*ROOT.glob("core/tests/**/test_*.py"), *ROOT.glob("core/tests/**/conftest.py")]
    assert set(hooks()) <= {name for path in tests for name in HOOK.findall(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", list(hooks()))
def test_hook_signature_is_exact(name):
    """The first line under a hook's heading is its signature."""
    signature = str(inspect.signature(hooks()[name])).replace("'", "")
    assert section(read("reference/hooks.md"), name).strip().splitlines()[0] == f"`{name}{signature}`"


@pytest.mark.parametrize(
    "kind",
    [
        HandlerSpec, ModelInfo, hookspecs.HandlerStart, WarmStart, hookspecs.InvokeCall, JobContext, hookspecs.AbortCall,
        storage.Event, Candidate, SelectionRequest,
    ],
    ids=lambda kind: kind.__name__,
)  # fmt: skip
def test_fields_of_hook_objects_are_complete(kind):
    """What a hook gets is listed field by field."""
    rows = table(read("reference/hooks.md"), f"field of `{kind.__name__}`")
    assert sorted(named(rows)) == sorted(each.name for each in fields(kind))


@pytest.mark.parametrize(
    "kind", [runs.RunRequest, runs.Run, JobResult, callsheet.Policies], ids=lambda kind: kind.__name__
)
def test_fields_of_python_objects_are_complete(kind):
    """The tables of the Python page have every field."""
    rows = table(read("reference/python.md"), f"field of `{kind.__name__}`")
    assert sorted(named(rows)) == sorted(each.name for each in fields(kind))


def test_python_page_names_the_parameters():
    """The signatures in the running text have the parameters of the code."""
    text = read("reference/python.md")
    for function, shown in (
        (callsheet.open, "callsheet.open("),
        (callsheet.Client.call, "client.call("),
        (callsheet.Client.stream, "client.stream("),
        (callsheet.call_sync, "callsheet.call_sync("),
        (callsheet.Client.resume, "client.resume("),
        (callsheet.Client.collect, "client.collect("),
    ):
        signature = next(code for code in CODE.findall(text) if shown in code and code.endswith(")"))
        given = [name for name in inspect.signature(function).parameters if name != "self"]
        assert re.findall(r"[(,] ?\*{0,2}(\w+)", signature) == given, signature


def error_classes() -> list[type[CallsheetError]]:
    """Every class of errors.py."""
    found = [each for each in vars(errors).values() if isinstance(each, type)]
    return [each for each in found if issubclass(each, CallsheetError)]


def test_error_tree_is_complete():
    """Every class is in the drawing, below its own base."""
    drawn = re.findall(r"^([ │├└─]*)(\w+Error)", section(read("reference/errors.md"), "The tree"), re.MULTILINE)
    depth = {name: len(indent) // 3 for indent, name in drawn}
    assert depth == {each.__name__: len(each.__mro__) - len(CallsheetError.__mro__) for each in error_classes()}


def test_error_kinds_are_those_of_the_code():
    """Each kind has its class, and what the class says when the plugin says nothing."""
    rows = table(section(read("reference/errors.md"), "Kinds"), "kind")
    assert named(rows) == [kind.value for kind in ErrorKind]
    for kind, cls, _, sent, retryable, person in rows:
        known = errors.error_for(ErrorKind(kind.strip("`")))
        assert cls == f"`{known.__name__}`"
        assert sent == f"`{known.default_sent.value}`", kind
        assert (retryable == "yes", person == "yes") == (known.default_retryable, known.kind.needs_user), kind


def test_sent_words_and_error_fields_are_complete():
    """`sent` has four words, and every field of a ProviderError is named."""
    text = read("reference/errors.md")
    assert named(table(section(text, "Sent"), "sent")) == [sent.value for sent in Sent]
    assert set(vars(ProviderError("x"))) <= set(CODE.findall(text))


def test_exit_codes_of_errors_are_on_the_page():
    """Every exit code that an error has is in the table."""
    codes = {row[0] for row in table(section(read("reference/errors.md"), "Exit codes"), "code")}
    given = {ConfigError("x").exit_code, ConfigError("x", missing=True).exit_code, errors.PluginError("x").exit_code}
    given |= {errors.error_for(kind)("x").exit_code for kind in ErrorKind}
    assert {str(code) for code in given} <= codes


def test_states_of_a_call_are_on_the_page():
    """Pay once lists the states of the ledger, the reasons of plans, and all it says of them is spelt as in the code."""
    text = read("explanation/pay-once.md")
    assert named(table(section(text, "The states of a call"), "state")) == [s.value for s in storage.CallState]
    assert named(table(section(text, "Picks and reasons"), "reason")) == [r.value for r in plan.Reason]
    assert set(named(table(section(text, "What a crash means"), "it died in"))) <= {s.value for s in storage.CallState}


def test_decisions_speak_the_words_of_the_code():
    """The page on states names those of plans and runs, and the index of decisions is complete."""
    words = set(CODE.findall(read("decisions/0003-blocked-in-plans.md")))
    assert {s.value for s in plan.JobState} | {s.value for s in runner.JobStatus} <= words
    pages = sorted(path.name for path in (DOCS / "decisions").glob("0*.md"))
    assert re.findall(r"\((\d{4}-[\w-]+\.md)\)", read("decisions/README.md")) == pages
    assert [page[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    assert "state" in {each.name for each in fields(Receipt)}


def test_abort_outcomes_are_on_the_page():
    """The hook's page lists what an abort may answer."""
    text = section(read("reference/hooks.md"), "callsheet_abort")
    assert {outcome.value for outcome in AbortOutcome} <= set(CODE.findall(text))


def run_mocked(folder: Path, **request: object) -> runs.Run:
    """Run the folder's sheet, mocked."""

    async def run() -> runs.Run:
        async with callsheet.open(folder) as client:
            wanted = callsheet.RunRequest(mode=callsheet.Mode.MOCK, **request)
            return await client.run(callsheet.CallSheet.load(folder), wanted)

    return asyncio.run(run())


def plan_mocked(folder: Path, **request: object) -> plan.Plan:
    """Plan the folder's sheet, mocked."""

    async def make() -> plan.Plan:
        async with callsheet.open(folder) as client:
            wanted = callsheet.RunRequest(mode=callsheet.Mode.MOCK, **request)
            return await client.plan(callsheet.CallSheet.load(folder), wanted)

    return asyncio.run(make())


def sheets_of_the_tutorial() -> list[str]:
    """The sheet, as it is in each step."""
    blocks = re.findall(r"```toml\n(.*?)```", read("tutorials/first-call-sheet.md"), re.DOTALL)
    assert len(blocks) == 2
    return blocks


def test_tutorial_says_what_happens(folder):
    """States, reasons, file names and reuse are as the tutorial tells them, step by step."""
    first, second = sheets_of_the_tutorial()
    (folder / "sheet.toml").write_text(first, encoding="utf-8")
    assert {job.id: job.state.value for job in plan_mocked(folder).jobs} == {
        "caption": "run", "picture": "maybe", "voice": "maybe",
    }  # fmt: skip
    done = run_mocked(folder)
    assert sorted(path.name for path in done.files) == ["caption.txt", "picture.jpg", "voice.mp3"]
    assert run_mocked(folder).count(runner.JobStatus.REUSED) == 3
    caption = next(job for job in plan_mocked(folder, inputs={"place": "Etna"}).jobs if job.id == "caption")
    assert (caption.reason, caption.detail) == (plan.Reason.INPUTS, "prompt")
    assert run_mocked(folder, inputs={"place": "Etna"}).count(runner.JobStatus.EXECUTED) == 3
    (folder / "sheet.toml").write_text(second, encoding="utf-8")
    third = run_mocked(folder).outcomes
    reused = sorted(name for name, outcome in third.items() if outcome.status is runner.JobStatus.REUSED)
    assert (reused, len(third)) == (["caption", "voice"], 8)


def test_manifest_page_is_complete(folder):
    """The example has the keys of a real manifest in their order, and every key there can be is explained."""
    text = read("reference/manifest.md")
    example = json.loads(text.split("```json")[1].split("```")[0])
    (folder / "sheet.toml").write_text(sheets_of_the_tutorial()[1], encoding="utf-8")
    real = run_mocked(folder).manifest
    assert list(example) == list(real)
    assert {key for row in table(section(text, "Top level"), "key") for key in CODE.findall(row[0])} == set(real)
    rows = table(section(text, "A job"), "key")
    always = {"id", "producer", "index", "status", "artifacts", "attempts"}
    known = always | {*manifest._OF_JOB, *manifest._CLOCK}
    assert {key for row in rows for key in CODE.findall(row[0])} == known
    for job in (*example["jobs"], *real["jobs"]):
        assert always <= set(job) <= known
    artifact_keys = {key for row in table(section(text, "An artifact"), "key") for key in CODE.findall(row[0])}
    assert {key for job in real["jobs"] for each in job["artifacts"] for key in each} <= artifact_keys
    assert {"width", "height", "duration"} <= {each.name for each in fields(BlobArtifact)}


def test_job_statuses_are_on_the_manifest_page():
    """Every way a job may end is named."""
    text = section(read("reference/manifest.md"), "A job")
    assert {status.value for status in runner.JobStatus} <= set(CODE.findall(text))


def test_file_names_are_as_told():
    """The table of file names is what the code makes of producer, index, number and media type."""
    rows = table(section(read("reference/call-sheet.md"), "Files in the output folder"), "job")
    told = named(rows, 1)
    assert told == [
        manifest.file_name("script", None, None, "application/json"),
        manifest.file_name("narration", 1, None, "audio/wav"),
        *(manifest.file_name("picture", None, number, "image/png") for number in (0, 1)),
        *(manifest.file_name("still", 2, number, "image/jpeg") for number in (0, 1)),
    ]


def test_secrets_come_from_the_environment():
    """The Python page's own resolver fits the port."""
    assert "async def get(self, name: str) -> Secret | None" in inspect.getsource(secrets.SecretResolver)


def test_conformance_checks_are_on_the_page():
    """Every check in its order, with what it holds and how a plugin is repaired; at least those that were promised."""
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \|$", read("reference/checks.md"), re.MULTILINE)
    assert rows == [(check.id, f"{check.holds} | {check.repair}") for check in testing.CHECKS]
    assert len(rows) >= 60


def test_tiers_and_the_report_are_on_the_page():
    """Every tier in its order, every status, and every key of the report."""
    text = read("how-to/test-a-plugin.md")
    assert named(table(section(text, "A report, and a tier"), "tier")) == [tier.value for tier in Tier]
    assert [status.value for status in CheckStatus if f"`{status}`" not in text] == []
    told = json.loads(re.search(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1])
    report = testing.conformance("callsheet_mock", only=["manifest"]).as_json()
    assert (list(told), list(told["checks"][0])) == (list(report), list(report["checks"][0]))


def test_faults_of_the_loopback_server_are_on_the_page():
    """Every field of a fault, and nothing else; and every public name of the kit."""
    rows = table(section(read("how-to/test-a-plugin.md"), "Play the vendor"), "field of `Fault`")
    told = [name for row in rows for name in CODE.findall(row[0])]
    assert sorted(told) == sorted(each.name for each in fields(testing.Fault))
    text = read("how-to/test-a-plugin.md") + read("decisions/0010-compatible-vendors-and-conformance.md")
    text += read("decisions/0016-a-server-for-authors.md") + read("how-to/record-a-vendor.md")
    text += read("decisions/0027-recordings.md")
    assert [name for name in testing.__all__ if f"`{name}" not in text] == []
