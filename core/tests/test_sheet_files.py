"""The files of a sheet: limits, line numbers, and a fence around the project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet import sheet_files
from callsheet.errors import ConfigError
from callsheet.sheet_files import inside, is_template_file, parse_json, read_data, read_text

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**39), 10**39)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def data(folder: Path, text: str, name: str = "sheet.toml") -> dict[str, object]:
    """What a file with this text says."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_data(path)


@settings(deadline=None)
@given(JSON)
def test_json_round_trip(value: object) -> None:
    """JSON within the limits is read as it is."""
    assert parse_json(json.dumps(value), "x") == value


@settings(deadline=None)
@given(st.text() | st.text('[]{}:,"0123456789.eE-+ \n\\untrfalse', max_size=30))
def test_any_text_is_json_or_a_config_error(text: str) -> None:
    """No text raises anything but ConfigError."""
    try:
        parse_json(text, "x.json")
    except ConfigError as error:
        told = str(error)
        assert told.startswith("x.json: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ('{"a": 1e999}', "inf"),
        ('{\n"a": ' + "9" * 41 + "}", "line 2: .*40 digits"),
        ('{\n"a": ' + "9" * 5000 + "}", "line 2: .*40 digits"),
        ('{\n"a": }', "line 2, column 6"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' stands twice"),
        ("[" * 65 + "]" * 65, "64 deep"),
        ("[" * 100_000, "nested too deeply|column"),
        ("", "line 1"),
    ],
)
def test_wrong_json(text: str, told: str) -> None:
    """What is wrong is told with its line."""
    with pytest.raises(ConfigError, match=f"^x.json: .*({told})"):
        parse_json(text, "x.json")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = nan", "nan is no number"),
        ("a = [inf]", "inf is no number"),
        ("a = 1\nb = " + "9" * 41, "line 2: .*40 digits"),
        ("a = 1\nb = " + "9" * 5000, "line 2: .*40 digits"),
        ("a = 0x" + "f" * 99, "40 digits"),
        ("a = 1\na = 2\nb = 3", "line 2"),
        ("a = \nb = 2", "line 1"),
        ("a = " + "[" * 65 + "]" * 65, "64 deep"),
        ("a = " + "[" * 50_000, "deep|TOML"),
        (".".join("a" * 70) + " = 1", "64 deep"),
    ],
)
def test_wrong_toml(tmp_path: Path, text: str, told: str) -> None:
    """TOML has the same limits as JSON."""
    with pytest.raises(ConfigError, match=f"sheet.toml: .*({told})"):
        data(tmp_path, text)


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    """Editors on Windows put one in front."""
    assert data(tmp_path, "\ufeffa = 1") == {"a": 1}
    assert data(tmp_path, '\ufeff{"a": 1}', "sheet.json") == {"a": 1}


def test_the_deepest_that_is_allowed(tmp_path: Path) -> None:
    """64 lists in each other are read, with what is in the innermost."""
    assert parse_json("[" * 64 + "]" * 64, "x")
    with pytest.raises(ConfigError, match="nan"):
        data(tmp_path, "a = " + "[" * 63 + "nan" + "]" * 63)


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absent, a folder, not UTF-8, too large, not a table: each says so."""
    (tmp_path / "bad.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 5\)"):
        read_data(tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_text(tmp_path / "absent.toml", "here")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_text(tmp_path, "here")
    with pytest.raises(ConfigError, match="must be a table"):
        data(tmp_path, "[1]", "list.json")
    monkeypatch.setattr(sheet_files, "MAX_DATA_BYTES", 1 << 20)
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        data(tmp_path, "#" * ((1 << 20) + 1))


@pytest.mark.parametrize(
    ("text", "is_file"),
    [
        ("prompts/script.md", True),
        ("a.j2", True),
        ("Explain README.md", False),
        ("a\nb.md", False),
        ("{{ x }}.md", False),
        ("there is.md", True),
        ("plain", False),
        ("ü" * 250 + ".md", True),
        ("a b" * 80 + ".md", False),
    ],
)
def test_is_template_file(tmp_path: Path, text: str, is_file: bool) -> None:
    """A name of a file, or a sentence which ends like one."""
    (tmp_path / "there is.md").touch()
    assert is_template_file(text, tmp_path) is is_file


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a sheet's folder in it and a file outside of it."""
    (tmp_path / "outside.txt").write_text("secret")
    folder = tmp_path / "project" / "sheet"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder.parent / "shared.txt").write_text("s")
    return folder.parent


def test_inside_the_project(project: Path) -> None:
    """Files of the sheet's folder and of the project around it are taken."""
    assert inside(project, project / "sheet", "a.txt", "w") == (project / "sheet" / "a.txt").resolve()
    assert inside(project, project / "sheet", "../shared.txt", "w").name == "shared.txt"


@pytest.mark.parametrize(
    "name", ["../../outside.txt", "/etc/passwd", "link.txt", "folder/outside.txt", "up/../../../outside.txt"]
)
def test_outside_of_the_project(project: Path, name: str) -> None:
    """Nothing outside is read, neither by a way up nor through a symbolic link."""
    sheet = project / "sheet"
    (sheet / "link.txt").symlink_to(project.parent / "outside.txt")
    (sheet / "folder").symlink_to(project.parent)
    with pytest.raises(ConfigError, match=r"w: .*outside of the project 'project'"):
        inside(project, sheet, name, "w")


@pytest.mark.parametrize(
    "name", ["", "a\0b", "absent.txt", "folder", "circle", "x" * 5000, "x" * 300, "\ud800.png", "a.txt/b"]
)
def test_names_that_are_no_file(project: Path, name: str) -> None:
    """Names that no file has, or can have, are ConfigErrors, and long ones are not repeated whole."""
    sheet = project / "sheet"
    (sheet / "folder").mkdir()
    (sheet / "circle").symlink_to(sheet / "circle")
    with pytest.raises(ConfigError, match=r"^w: ") as caught:
        inside(project, sheet, name, "w")
    assert len(str(caught.value)) < 500
