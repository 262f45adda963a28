"""The output folder: nothing of others is touched, nothing outside of it, and no half files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from callsheet.artifacts import Artifact, BlobArtifact, FileRef, JsonArtifact, TextArtifact
from callsheet.errors import CallsheetError, ConfigError
from callsheet.outputs import MANIFEST, OutputFolder
from callsheet.report import REPORT
from callsheet.stores.blobs import LocalBlobs

Results = dict[str, tuple[str, Artifact]]


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of these tests."""
    return "asyncio"


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    """An empty store."""
    return LocalBlobs(tmp_path / "state")


@pytest.fixture
def folder(tmp_path: Path) -> OutputFolder:
    """An output folder that is not there yet."""
    return OutputFolder(tmp_path / "out")


def manifest(results: Results) -> dict[str, object]:
    """A manifest with one artifact a job."""
    jobs = [
        {"id": job, "artifacts": [{"file": name, "sha256": hashlib.sha256(_data(artifact)).hexdigest()}]}
        for job, (name, artifact) in results.items()
    ]
    return {"callsheet": 1, "jobs": jobs, "digest": "x"}


def _data(artifact: Artifact) -> bytes:
    return b"" if isinstance(artifact, BlobArtifact) else artifact.data()


def write(folder: OutputFolder, blobs: LocalBlobs, results: Results) -> list[str]:
    """Write these results, and give the folder's file names."""
    folder.write(manifest(results), {job: (artifact,) for job, (_, artifact) in results.items()}, blobs)
    return sorted(path.name for path in folder.path.iterdir() if path.name != REPORT)


A: Results = {"a": ("a.txt", TextArtifact("a"))}
AB: Results = {**A, "b": ("b.json", JsonArtifact({"b": 1}))}


async def test_every_kind_is_written(folder: OutputFolder, blobs: LocalBlobs) -> None:
    """Texts, JSON and files lie under their names, with the manifest beside them and no drafts."""
    file = await blobs.put(b"\x89PNG", "image/png")
    assert write(folder, blobs, {**AB, "c": ("c.png", BlobArtifact(file))}) == ["a.txt", "b.json", "c.png", MANIFEST]
    assert (folder.path / "c.png").read_bytes() == b"\x89PNG"
    assert json.loads((folder.path / MANIFEST).read_text()) == folder.manifest()


def test_stale_files_go_and_foreign_files_stay(folder: OutputFolder, blobs: LocalBlobs) -> None:
    """What the last run made and this one does not is removed; what the user put there stays."""
    write(folder, blobs, AB)
    (folder.path / "notes.txt").write_text("mine")
    folder.check()
    assert write(folder, blobs, A) == ["a.txt", MANIFEST, "notes.txt"]


def test_a_stale_file_that_the_user_changed_stays(folder: OutputFolder, blobs: LocalBlobs) -> None:
    """Only what is still as the run wrote it is removed."""
    write(folder, blobs, AB)
    (folder.path / "b.json").write_text("edited")
    assert "b.json" in write(folder, blobs, A)


def test_a_new_name_that_differs_in_case(folder: OutputFolder, blobs: LocalBlobs) -> None:
    """Where case does not count, the new file would be the old one: it is not removed."""
    write(folder, blobs, {"A": ("A.txt", TextArtifact("a"))})
    assert "a.txt" in write(folder, blobs, A)
    assert (folder.path / "A.txt").exists()


def test_the_manifest_is_never_absent(folder: OutputFolder, blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that breaks off leaves a folder that is still ours, without drafts, and tells that nothing is lost."""
    missing = BlobArtifact(FileRef("ab" * 32, "image/png", 3))
    with pytest.raises(CallsheetError):
        write(folder, blobs, {**A, "c": ("c.png", missing)})
    folder.check()
    assert sorted(path.name for path in folder.path.iterdir()) == ["a.txt", MANIFEST]
    write(folder, blobs, AB)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CallsheetError, match="No space left on device; nothing is lost"):
        write(folder, blobs, A)
    assert sorted(path.name for path in folder.path.iterdir()) == ["a.txt", "b.json", MANIFEST, REPORT]


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"jobs": []}', '{"callsheet": 1, "jobs": 1}', "[" * 99999, "\xff"]
)
def test_a_foreign_folder_is_refused(folder: OutputFolder, text: str | None) -> None:
    """A folder with files and no manifest of ours is left alone."""
    folder.path.mkdir()
    folder.check()
    (folder.path / "thesis.doc").touch()
    if text is not None:
        (folder.path / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"no manifest\.json of callsheet"):
        folder.check()


def test_places_that_can_be_no_folder(tmp_path: Path) -> None:
    """A file, a place below a file, and a link to nowhere are told before anything is paid."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path / "file", tmp_path / "file" / "out", tmp_path / "link"):
        with pytest.raises(ConfigError, match=r"file|link"):
            OutputFolder(path).check()
    OutputFolder(tmp_path / "new" / "deep").check()
    assert not (tmp_path / "new").exists()


HOSTILE = ["../outside.txt", "/etc/x", "..", ".", "", "sub", "sub/inner.txt", "link", ".git", 5, None, ["x"], "a\0b"]


def test_a_hostile_manifest_removes_nothing(folder: OutputFolder, blobs: LocalBlobs, tmp_path: Path) -> None:
    """Whatever a manifest claims, nothing outside of the folder goes, no folder, and nothing it has no digest of."""
    outside = tmp_path / "outside.txt"
    outside.write_text("a")
    (folder.path / "sub").mkdir(parents=True)
    (folder.path / "sub" / "inner.txt").write_text("a")
    (folder.path / "link").symlink_to(outside)
    (folder.path / ".git").write_text("a")
    (folder.path / "thesis.doc").write_text("a")
    digest = hashlib.sha256(b"a").hexdigest()
    listed = [{"file": name, "sha256": digest} for name in HOSTILE] + [{"file": "thesis.doc"}, 7]
    jobs = [{"artifacts": listed}, {"artifacts": 5}, 5, None, {}]
    (folder.path / MANIFEST).write_text(json.dumps({"callsheet": 1, "jobs": jobs}))
    folder.check()
    assert write(folder, blobs, A) == [".git", "a.txt", "link", MANIFEST, "sub", "thesis.doc"]
    assert outside.read_text() == (folder.path / "sub" / "inner.txt").read_text() == "a"


@pytest.mark.parametrize("name", ["../x.txt", "/tmp/x.txt", "a/b.txt", "..", "", ".hidden", "a\nb"])
def test_no_artifact_is_written_elsewhere(folder: OutputFolder, blobs: LocalBlobs, name: str) -> None:
    """A name that is no plain file name is refused when it is written, too."""
    with pytest.raises(CallsheetError, match="no file name"):
        write(folder, blobs, {"a": (name, TextArtifact("a"))})
    assert [path.name for path in folder.path.iterdir()] == [MANIFEST]
    assert not (folder.path.parent / "x.txt").exists()


def test_a_link_in_place_of_an_output_is_replaced(folder: OutputFolder, blobs: LocalBlobs, tmp_path: Path) -> None:
    """Writing goes to a new file, never through a link to somewhere else."""
    write(folder, blobs, A)
    (tmp_path / "precious").write_text("precious")
    (folder.path / "a.txt").unlink()
    (folder.path / "a.txt").symlink_to(tmp_path / "precious")
    write(folder, blobs, A)
    assert (tmp_path / "precious").read_text() == "precious"
    assert (folder.path / "a.txt").read_text() == "a"


def test_the_report_is_written_and_a_page_of_others_stays(folder: OutputFolder, blobs: LocalBlobs) -> None:
    """The report lies beside the manifest; one that somebody wrote is left alone, and so is a link."""
    write(folder, blobs, A)
    path = folder.path / REPORT
    assert folder.report_is_current(manifest(A))
    assert 'href="a.txt"' in path.read_text()
    path.write_text("my own page")
    write(folder, blobs, A)
    assert path.read_text() == "my own page"
    with pytest.raises(CallsheetError, match="move it away"):
        folder.write_report(manifest(A))
    path.unlink()
    path.symlink_to(folder.path / "elsewhere")
    write(folder, blobs, A)
    assert path.is_symlink()
    path.unlink()
    assert not folder.report_is_current(manifest(A))
    assert folder.write_report(manifest(A)).read_bytes() == folder.report(manifest(A))
