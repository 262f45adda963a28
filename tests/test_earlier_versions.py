"""What an earlier version left on disk is read by this one: its ledger, its receipts, its manifest, its cache keys.

Each folder of `earlier/` holds what a mocked run with two jobs left, in the version whose ledger had that schema: the sheet,
the ledger as SQL (FOLDER stands for the project's), the receipt of the remote job, and the outputs. A change of the schema
adds a folder here, made with the version before it; the ones that are here stay as they are.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import fields
from pathlib import Path

import pytest

from callsheet.cli import main
from callsheet.jobs import Receipt
from callsheet.manifest import FORMAT
from callsheet.plugin_manifest import PLUGIN_API
from callsheet.stores.schema import SCHEMA_VERSION

EARLIER = sorted((Path(__file__).parent / "earlier").iterdir())

each_version = pytest.mark.parametrize("left", EARLIER, ids=lambda path: path.name)


@pytest.fixture
def told(capsys):
    """Gives a command with --json; its exit code and its document."""

    def run(*arguments: str) -> tuple[int, dict]:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--json"])
        return ended.value.code or 0, json.loads(capsys.readouterr().out)

    return run


def restore(left: Path, folder: Path) -> None:
    """The project as that version left it."""
    shutil.copy(left / "sheet.toml", folder)
    shutil.copytree(left / "outputs", folder / "output-mock")
    with sqlite3.connect(folder / ".callsheet" / "ledger.sqlite3") as db:
        db.executescript((left / "ledger.sql").read_text(encoding="utf-8").replace("FOLDER/", f"{folder}/"))
    db.close()
    receipt = json.loads((left / "receipt.json").read_text(encoding="utf-8"))
    picture = folder / "output-mock" / "picture.png"
    manifest = json.loads((folder / "output-mock" / "manifest.json").read_text(encoding="utf-8"))
    digest = next(a["sha256"] for job in manifest["jobs"] if job.get("key") == receipt["key"] for a in job["artifacts"])
    blob = folder / ".callsheet" / "blobs" / "sha256" / digest[:2] / digest
    blob.parent.mkdir(parents=True)
    shutil.copy(picture, blob)


@pytest.fixture
def project(folder: Path) -> Path:
    """An empty project."""
    (folder / ".callsheet").mkdir()
    return folder


@each_version
def test_an_earlier_ledger_tells_all_it_knows(left, project, told):
    """Its runs and their jobs; and the file is of this version afterwards."""
    restore(left, project)
    code, listed = told("runs", "list")
    assert code == 0
    assert [run["status"] for run in listed["runs"]] == ["succeeded"]
    _, shown = told("runs", "show")
    assert [(job["id"], job["status"]) for job in shown["jobs"]] == [("line", "executed"), ("picture", "executed")]
    db = sqlite3.connect(project / ".callsheet" / "ledger.sqlite3")
    assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    db.close()


@each_version
def test_what_an_earlier_version_paid_for_is_not_paid_for_again(left, project, told):
    """Its cache keys are still those of the same calls, and its results can be read."""
    restore(left, project)
    code, run = told("run", ".", "--mode", "mock")
    assert (code, run["executed"], run["reused"]) == (0, 0, 2)
    assert [Path(each["file"]).read_bytes() for each in run["artifacts"]] == [
        (left / "outputs" / name).read_bytes() for name in ("line.txt", "picture.png")
    ]


@each_version
def test_an_earlier_manifest_is_what_this_version_makes_of_its_ledger(left, project, told):
    """`runs verify` finds nothing to put right in it."""
    restore(left, project)
    before = (project / "output-mock" / "manifest.json").read_bytes()
    code, verified = told("runs", "verify")
    assert (code, verified["ok"], verified["problems"], verified["repaired"]) == (0, True, [], [])
    assert (verified["blobs"], verified["files"]) == (1, 2)
    assert (project / "output-mock" / "manifest.json").read_bytes() == before


@each_version
@pytest.mark.parametrize("more", [{}, {"a_key_of_a_later_version": 1}], ids=["as it was", "with a later key"])
def test_an_earlier_receipt_is_collected(left, more, project, told):
    """From a machine whose ledger has never heard of it; keys that were added to the format do no harm."""
    receipt = project / "receipt.json"
    receipt.write_text(
        json.dumps(json.loads((left / "receipt.json").read_text(encoding="utf-8")) | more), encoding="utf-8"
    )
    code, result = told("resume", str(receipt), "--mode", "mock")
    assert code == 0
    assert [each["media_type"] for each in result["artifacts"]] == ["image/png"]


def test_the_page_has_the_numbers_of_the_code():
    """Of the plugin api, receipts and manifests."""
    page = (Path(__file__).parents[1] / "docs/reference/versions.md").read_text(encoding="utf-8")
    version = next(each.default for each in fields(Receipt) if each.name == "version")
    for said in (
        f"`api = {PLUGIN_API}`",
        f"Now the newest is {PLUGIN_API}",
        f"`version`: {version} ",
        f"`callsheet`: {FORMAT} ",
    ):
        assert said in page, said
