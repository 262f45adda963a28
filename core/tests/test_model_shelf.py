"""Writing rows: checked before, whole or not at all, under names that are ours, never over somebody else's file."""

from __future__ import annotations

import json
import tomllib
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import model_shelf
from callsheet.config import load_settings
from callsheet.errors import ConfigError
from callsheet.handler import ModelDescription
from callsheet.model_schemas import input_schema
from callsheet.model_shelf import Shelf, Wishes, _stem, shadowing
from callsheet.stores.filesystem import whole_file

ROW = {
    "model": "owner/name",
    "operation": "image.generate",
    "inputs": {"prompt": "text", "images": "pictures"},
    "output": "image/png[]",
    "revision": "v1",
}
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}, "pictures": {"type": "array"}}}


def described(
    row: dict[str, object] | None = None, schema: object = None, notes: tuple[str, ...] = ()
) -> ModelDescription:
    """A description with other keys in its row, or another schema."""
    return ModelDescription({**ROW, **(row or {})}, SCHEMA if schema is None else schema, notes)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The shelf of a project; the user has no rows."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Shelf(tmp_path / "models")


def files(shelf: Shelf) -> list[str]:
    """All files on the shelf."""
    return sorted(path.relative_to(shelf.folder).as_posix() for path in shelf.folder.rglob("*") if path.is_file())


def test_a_row_comes_back_as_it_was_written(shelf: Shelf, tmp_path: Path) -> None:
    """With its schema, pinned by digest; what was guessed stands above it."""
    drafted = shelf.draft("acme", described(notes=("guessed:\nx",)), Wishes(alias="short"))
    assert not shelf.folder.exists()
    shelf.write(drafted)
    assert files(shelf) == ["acme/owner_name.json", "acme/owner_name.toml"]
    (info,) = load_settings(tmp_path).models
    assert info == drafted.info
    assert (info.revision, info.aliases, info.folder) == ("v1", ("short",), shelf.folder / "acme")
    assert input_schema(info).whole == {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMA}
    assert (shelf.folder / "acme" / "owner_name.toml").read_text().splitlines()[1] == "# - guessed:\\nx"


def test_an_existing_row_stays_unless_it_is_forced(shelf: Shelf, tmp_path: Path) -> None:
    """Then what its owner wrote into it and no provider tells is kept: aliases and prices."""
    shelf.write(shelf.draft("acme", described(), Wishes(alias="one")))
    file = shelf.folder / "acme" / "owner_name.toml"
    price = '[[models.price]]\nper = "image"\nusd = 0.5\nas_of = 2026-08-01\nsource = "invoice"\n'
    file.write_text(file.read_text() + price)
    again = shelf.draft("acme", described({"revision": "v2"}), Wishes(alias="two"))
    with pytest.raises(ConfigError, match=f"{file} is there already: --force writes it anew"):
        shelf.write(again)
    assert tomllib.loads(file.read_text())["models"][0]["revision"] == "v1"
    shelf.write(again, force=True)
    (info,) = load_settings(tmp_path).models
    assert (info.revision, info.aliases, str(info.price[0].usd)) == ("v2", ("one", "two"), "0.5")


def test_a_row_that_stands_elsewhere_is_not_doubled(shelf: Shelf) -> None:
    """Two rows in one place would both be refused from then on."""
    mine = shelf.folder / "mine.toml"
    mine.parent.mkdir()
    mine.write_text('[[models]]\nprovider = "acme"\nmodel = "owner/name"\noperation = "image.generate"\n')
    with pytest.raises(ConfigError, match=f"acme:owner/name has a row in {mine} already"):
        shelf.draft("acme", described(), Wishes())
    assert shelf.draft("other", described(), Wishes()).info.name == "other:owner/name"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[[models]]\nprovider = "acme"\nmodel = "owner/other"\noperation = "image.generate"\n',
            "has rows of other models",
        ),
        ("[[models", "is not valid TOML"),
    ],
)
def test_a_file_with_anything_else_is_not_replaced(shelf: Shelf, text: str, said: str) -> None:
    """Not even by force: somebody made it."""
    file = shelf.folder / "acme" / "owner_name.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        shelf.draft("acme", described(), Wishes())
    assert file.read_text() == text


def test_a_broken_row_can_be_written_anew(shelf: Shelf, tmp_path: Path) -> None:
    """Its own file is repaired by force."""
    shelf.write(shelf.draft("acme", described(), Wishes()))
    file = shelf.folder / "acme" / "owner_name.toml"
    file.write_text(file.read_text().replace("operation", "operationn"))
    assert load_settings(tmp_path).wrong_models
    shelf.write(shelf.draft("acme", described(), Wishes()), force=True)
    assert [info.name for info in load_settings(tmp_path).models] == ["acme:owner/name"]


@pytest.mark.parametrize(
    ("row", "schema", "said"),
    [
        ({"operation": "image.generat"}, None, "did you mean 'image.generate'"),
        ({"inputs": {"promt": "x"}}, None, "has no attribute 'promt'"),
        ({"model": "a b"}, None, "without spaces"),
        ({"model": 3}, None, "model must be text"),
        ({"model": "m\ud800"}, None, "model must be one line"),
        ({"unheard": 1}, None, "unknown key 'unheard'"),
        ({"data": {"x": None}}, None, "cannot be written as TOML"),
        ({}, {"type": "objekt"}, "is no valid JSON Schema"),
        ({}, {"properties": []}, "its properties are no object"),
        (
            {},
            {"$schema": "http://json-schema.org/draft-07/schema#"},
            "and not in https://json-schema.org/draft/2020-12",
        ),
        ({}, {"default": float("nan")}, "is no valid JSON Schema"),
        ({}, {"default": "\ud800"}, "is no valid JSON Schema"),
        ({}, {"default": {1, 2}}, "is no valid JSON Schema"),
        ({}, {"$ref": "https://example.com/x"}, "is no valid JSON Schema"),
        ({}, {"description": "x" * (4 << 20)}, "is larger than 4 MiB"),
    ],
    ids=repr,
)
def test_nothing_is_written_of_what_is_not_valid(
    shelf: Shelf, row: dict[str, object], schema: object, said: str
) -> None:
    """A row and a schema are checked as they would be when they are read."""
    with pytest.raises(ConfigError, match=said):
        shelf.draft("acme", described(row, schema), Wishes())
    assert not shelf.folder.exists()


def test_a_provider_s_name_is_no_way_out(shelf: Shelf) -> None:
    """It becomes a folder."""
    for name in ("../acme", "a/b", ""):
        with pytest.raises(ConfigError, match="is not a provider's name"):
            shelf.draft(name, described(), Wishes())


def test_another_operation_keeps_the_attributes_that_it_knows(shelf: Shelf) -> None:
    """The others are options from then on, and the notes say so."""
    drafted = shelf.draft("acme", described(), Wishes(operation="music.generate"))
    assert (drafted.info.operation, drafted.info.inputs) == ("music.generate", {"prompt": "text"})
    assert drafted.notes == (
        "image.generate was inferred, music.generate was asked for",
        "music.generate has no attribute images: the field pictures is an option",
    )
    assert shelf.draft("acme", described(), Wishes(operation="image.generate")).notes == ()
    with pytest.raises(ConfigError, match=r"did you mean 'music\.generate'"):
        shelf.draft("acme", described(), Wishes(operation="music.generat"))


def test_a_row_without_a_version_is_told(shelf: Shelf) -> None:
    """Results of tomorrow's model are not those of today's."""
    drafted = shelf.draft("acme", described({"revision": ""}), Wishes())
    assert drafted.notes == ("it is not pinned to a version: the provider names none",)


def test_keys_that_are_ours_are_not_taken_from_a_plugin(shelf: Shelf) -> None:
    """Where the schema lies and whose row it is, is said here."""
    drafted = shelf.draft("acme", described({"schema": "../x.json", "provider": "evil", "digest": "x"}), Wishes())
    assert (drafted.row["provider"], drafted.row["schema"]) == ("acme", "owner_name.json")


def test_links_lead_nowhere(shelf: Shelf, tmp_path: Path) -> None:
    """A linked file is replaced and not followed; rows in a linked folder would not be found."""
    secret = tmp_path / "secret"
    secret.write_text("keep")
    drafted = shelf.draft("acme", described(), Wishes())
    drafted.path.parent.mkdir(parents=True)
    drafted.schema_path.symlink_to(secret)
    with pytest.raises(ConfigError, match="is there already"):
        shelf.write(drafted)
    shelf.write(drafted, force=True)
    assert secret.read_text() == "keep"
    assert json.loads(drafted.schema_path.read_text())["properties"] == SCHEMA["properties"]
    (shelf.folder / "linked").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="is a link"):
        shelf.write(shelf.draft("linked", described(), Wishes()))


def test_a_folder_that_cannot_be_made_is_told(shelf: Shelf, tmp_path: Path) -> None:
    """No draft is left."""
    shelf.folder.write_text("a file")
    with pytest.raises(ConfigError, match="cannot create the folder"):
        shelf.write(shelf.draft("acme", described(), Wishes()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]


def test_a_crash_between_the_two_files_is_told(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old row never works with the new schema; the remedy does."""
    shelf.write(shelf.draft("acme", described(), Wishes()))
    again = shelf.draft("acme", described(schema={"type": "object"}), Wishes())

    def killed(path: Path) -> object:
        if path.suffix == ".toml":
            raise KeyboardInterrupt
        return whole_file(path)

    monkeypatch.setattr(model_shelf, "whole_file", killed)
    with pytest.raises(KeyboardInterrupt):
        shelf.write(again, force=True)
    (info,) = load_settings(tmp_path).models
    with pytest.raises(ConfigError, match="callsheet model add acme owner/name --force"):
        input_schema(info)
    monkeypatch.undo()
    shelf.write(again, force=True)
    assert files(shelf) == ["acme/owner_name.json", "acme/owner_name.toml"]


def test_which_row_wins_over_a_new_one(shelf: Shelf, tmp_path: Path) -> None:
    """One in callsheet.toml over any, one of the project over the user's."""
    mine = shelf.draft("acme", described(), Wishes()).info
    users = Shelf(tmp_path / "config" / "callsheet" / "models").draft("acme", described(), Wishes()).info
    assert shadowing(users, [mine], tmp_path) == str(shelf.folder / "acme")
    assert shadowing(mine, [users], tmp_path) == ""
    assert shadowing(mine, [mine], tmp_path) == ""
    (tmp_path / "callsheet.toml").write_text(
        '[[models]]\nprovider = "acme"\nmodel = "owner/name"\noperation = "image.generate"\n'
    )
    assert shadowing(mine, load_settings(tmp_path).models, tmp_path) == "callsheet.toml"


@given(st.lists(st.text(min_size=1, max_size=120) | st.from_regex(r"[a-zA-Z_./-]{1,12}", fullmatch=True), unique=True))
def test_every_model_has_a_file_name_of_its_own(models: list[str]) -> None:
    """Plain, short, and told apart where case and accents are not."""
    stems = [_stem(model) for model in models]
    assert len({unicodedata.normalize("NFC", stem).casefold() for stem in stems}) == len(models)
    for stem in stems:
        assert Path(stem).name == stem
        assert stem.isascii()
        assert stem.isprintable()
        assert not stem.startswith(".")
        assert len(stem) <= 100


def test_usual_names_can_be_read() -> None:
    """The others end in a digest."""
    assert _stem("black-forest-labs/flux-1.1-pro") == "black-forest-labs_flux-1.1-pro"
    assert _stem("Owner/Name_x:1").startswith("owner_name_x_1__")
    assert _stem("..").startswith("model__")
