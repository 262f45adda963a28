"""Rows of one's own: found in the project's and the user's folder, in order of rank, and one bad file spoils no command."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import callsheet
from callsheet import own_models as own_models_module
from callsheet.catalog import Catalog
from callsheet.config import load_settings
from callsheet.discovery import Discovery, FoundPlugin
from callsheet.errors import ConfigError
from callsheet.models import ModelRef
from callsheet.own_models import own_files
from callsheet.settings import Settings

ROW = '[[models]]\nprovider = "{provider}"\nmodel = "{model}"\noperation = "image.generate"\ntitle = "{title}"\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder; the user's configuration lies in `config` beside it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def put(file: Path, model: str = "m", title: str = "", provider: str = "acme", more: str = "") -> Path:
    """A file with one row."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(ROW.format(provider=provider, model=model, title=title) + more, encoding="utf-8")
    return file


def user(project: Path) -> Path:
    """The user's folder of rows."""
    return project.parent / "config" / "callsheet" / "models"


def catalog(project: Path, fakes: object, *rows: dict[str, object]) -> Catalog:
    """What a project sees, with a plugin of these rows."""
    found = FoundPlugin("acme", "", "callsheet-acme", "1.0", manifest=fakes.manifest("acme", *rows))
    return Catalog.of(Discovery((found,)), load_settings(project))


PLUGIN_ROW = {"model": "m", "operation": "image.generate", "title": "plugin"}


def test_every_place_and_the_order_of_their_rank(project: Path, fakes) -> None:
    """Plugin, user, project, callsheet.toml: each wins over those before it."""
    ref = ModelRef("acme", "m")
    titles = [catalog(project, fakes, PLUGIN_ROW).get(ref).title]
    put(user(project) / "deep" / "er" / "a.toml", title="user")
    titles.append(catalog(project, fakes, PLUGIN_ROW).get(ref).title)
    put(project / "models" / "acme" / "m.toml", title="project")
    titles.append(catalog(project, fakes, PLUGIN_ROW).get(ref).title)
    put(project / "callsheet.toml", title="file")
    seen = catalog(project, fakes, PLUGIN_ROW)
    titles.append(seen.get(ref).title)
    assert titles == ["plugin", "user", "project", "file"]
    assert [info.title for info in seen.search()] == ["file"]
    assert seen.get(ref).folder == project


def test_a_schema_lies_beside_its_row(project: Path) -> None:
    """In whatever folder that is; a row of a provider with a lent wire speaks that."""
    (project / "callsheet.toml").write_text(
        '[providers.groq]\nwire = "acme:chat"\nbase_url = "https://api.groq.example"\n'
    )
    put(project / "models" / "sub" / "x.toml", more='schema = "x.json"\naliases = ["ex"]\n')
    put(project / "models" / "y.toml", model="y", provider="groq")
    y, x = load_settings(project).models
    assert (x.folder, x.schema, x.plugin) == (project / "models" / "sub", "x.json", "")
    assert y.wire == "acme:chat"


async def test_a_library_user_gets_them_too(project: Path) -> None:
    """`callsheet.open` reads them with or without a callsheet.toml."""
    put(project / "models" / "m.toml", provider="mock", model="mine", more='aliases = ["mine"]\n')
    async with callsheet.open(project) as client:
        assert str(client.catalog.find("mine")) == "mock:mine"
        assert client.catalog.get(ModelRef("mock", "mine")).title == ""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("image.generate", "image.generat", "operation has no 'image.generat'; did you mean 'image.generate'"),
        ("title", "titel", "unknown key 'titel'; did you mean 'title'"),
        ('title = ""', 'schema = "../m.json"', "schema must be a .json file inside the folder of this file"),
        ('title = ""', 'schema = "/m.json"', "schema must be a .json file inside the folder of this file"),
        ('title = ""', 'schema = "m.json"\ndigest = "md5:0"', "digest must be sha256: and 64 hexadecimal digits"),
        ('title = ""', f'digest = "sha256:{"0" * 64}"', "digest goes with schema"),
    ],
)
def test_a_wrong_row_is_a_line_and_never_another_row(project: Path, fakes, old: str, new: str, said: str) -> None:
    """The plugin's row is not used in its place; the error names file, model and key; other rows work."""
    file = put(project / "models" / "m.toml")
    file.write_text(file.read_text().replace(old, new), encoding="utf-8")
    put(user(project) / "m.toml", title="user")
    put(project / "models" / "n.toml", model="n")
    seen = catalog(project, fakes, PLUGIN_ROW)
    with pytest.raises(ConfigError, match=said) as caught:
        seen.get(ModelRef("acme", "m"))
    assert f"{file}: acme:m: " in str(caught.value)
    assert seen.own_problems() == [str(caught.value)]
    assert seen.problems() == []
    assert [info.model for info in seen.search()] == ["n"]


def test_a_wrong_row_is_no_matter_where_a_better_one_wins(project: Path, fakes) -> None:
    """callsheet.toml over the project's folder, that over the user's."""
    put(user(project) / "m.toml", more="x = 1\n")
    put(project / "models" / "m.toml", title="project")
    assert load_settings(project).wrong_models == {}
    put(project / "models" / "m.toml", more="x = 1\n")
    assert list(load_settings(project).wrong_models) == ["acme:m"]
    put(project / "callsheet.toml", title="file")
    assert load_settings(project).wrong_models == {}
    assert catalog(project, fakes).get(ModelRef("acme", "m")).title == "file"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[models", "is not valid TOML"),
        ("models = 3", r"write \[\[models\]\] above each"),
        ("[[models]]\nmodel = 'm'", "models 1: needs a provider"),
        ("[[models]]\nprovider = 'A'\nmodel = 'm'", "models 1: provider must be lower-case"),
        ("[[models]]\nprovider = 'acme'\nmodel = 'z'\n[run]\nx = 1", "unknown key 'run'"),
        ("[[model]]\nprovider = 'acme'\nmodel = 'm'", "unknown key 'model'; did you mean 'models'"),
        ("#" * (4 << 20) + "\n", "is larger than 4 MiB"),
        ("x = '\udcff'", "is not UTF-8"),
    ],
    ids=lambda value: value[:20],
)
def test_an_unreadable_file_is_told_where_it_matters(project: Path, fakes, text: str, said: str) -> None:
    """A model without a row might have one there, so it is not called blindly; known models are."""
    file = project / "models" / "bad.toml"
    file.parent.mkdir()
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    seen = catalog(project, fakes, PLUGIN_ROW)
    assert seen.get(ModelRef("acme", "m")).title == "plugin"
    for ask in (lambda: seen.get(ModelRef("acme", "z")), lambda: seen.find("zed")):
        with pytest.raises(ConfigError, match=said) as caught:
            ask()
        assert str(file) in str(caught.value)
    (line,) = seen.own_problems()
    assert line.startswith(f"{file}: ")


def test_other_toml_files_are_passed_over(project: Path) -> None:
    """A folder `models` may be somebody else's; hidden folders and links to folders are not gone into."""
    models = project / "models"
    put(models / ".hidden" / "a.toml")
    put(project / "elsewhere" / "b.toml")
    (models / "link").symlink_to(project / "elsewhere")
    (models / "train.toml").write_text("[model]\nlayers = 3\n[[stages]]\nname = 'x'\n")
    (models / "c.toml").mkdir()
    os.mkfifo(models / "d.toml")
    (models / "notes.txt").write_text("[[")
    assert load_settings(project) == Settings()


def test_two_rows_in_one_place_are_refused_with_both_files(project: Path, fakes) -> None:
    """Whichever is meant; twice in one file likewise."""
    one, two = put(project / "models" / "a.toml"), put(project / "models" / "b.toml")
    with pytest.raises(ConfigError, match="acme:m stands twice in") as caught:
        catalog(project, fakes).get(ModelRef("acme", "m"))
    assert f"{one} and {two}" in str(caught.value)
    two.unlink()
    one.write_text(one.read_text() * 2)
    with pytest.raises(ConfigError, match=f"stands twice in {one};"):
        catalog(project, fakes).get(ModelRef("acme", "m"))


def test_a_folder_full_of_other_things_ends_early(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a line that says so."""
    monkeypatch.setattr(own_models_module, "MAX_ENTRIES", 5)
    for number in range(6):
        put(project / "models" / f"{number // 3}" / f"{number}.toml", model=str(number))
    found = list(own_files(project / "models"))
    assert [len(file.rows) for file in found] == [1, 1, 1, 0]
    assert "has more than 5 files" in found[-1].problem


def test_a_folder_that_may_not_be_entered_spoils_no_command(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be listed, and no file in it looked at: each is named, and the others are read."""
    put(project / "models" / "a.toml", model="a")
    closed = put(project / "models" / "closed" / "b.toml", model="b")
    stat = Path.stat

    def refused(path: Path, **how: bool) -> os.stat_result:
        if closed.parent in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", refused)
    settings = load_settings(project)
    assert [info.name for info in settings.models] == ["acme:a"]
    assert settings.unread_models == (f"{closed}: cannot be read: Permission denied",)


def test_a_folder_that_may_not_be_listed_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are missing, and nobody would know why; that there is no folder at all is said of none."""
    put(project / "models" / "a.toml", model="a")
    closed = put(project / "models" / "closed" / "b.toml", model="b").parent
    scandir = os.scandir

    def refused(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    settings = load_settings(project)
    assert [info.name for info in settings.models] == ["acme:a"]
    assert settings.unread_models == (f"{closed}: cannot be read: Permission denied",)


def test_the_user_s_folder_is_read_once_where_it_is_the_project_s(project: Path) -> None:
    """No row stands twice by that."""
    put(user(project) / "m.toml")
    settings = load_settings(user(project).parent)
    assert ([info.name for info in settings.models], settings.wrong_models) == (["acme:m"], {})
