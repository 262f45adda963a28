"""From sheet to cells: fan-out, edges, circles and missing neighbours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from callsheet.errors import ConfigError
from callsheet.expansion import Expansion, expand
from callsheet.sheet import CallSheet

Expand = Callable[[str], Expansion]


@pytest.fixture
def expanded(tmp_path: Path) -> Expand:
    """Expands a sheet; `NAME: key = …, …` lines are short for image producers."""

    def expand_text(text: str) -> Expansion:
        lines = []
        for line in text.strip().splitlines():
            name, colon, rest = line.strip().partition(": ")
            if not colon or " " in name:
                lines.append(line)
                continue
            lines += [f"[producers.{name}]", 'operation = "image.generate"', 'models = ["mock:image"]']
            lines += rest.split("; ") if "prompt" in rest else ['prompt = "p"', *rest.split("; ")]
        (tmp_path / "sheet.toml").write_text("\n".join(lines).replace("; ", "\n"), encoding="utf-8")
        return expand(CallSheet.load(tmp_path), tmp_path)

    return expand_text


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("a: for_each = 3", {"a": 3}),
        ("a: for_each = '2'", {"a": 2}),
        ("a: for_each = 0", {"a": 0}),
        ("[inputs]\nn = 2\na: for_each = 'inputs.n'", {"a": 2}),
        ("[inputs]\nl = ['x', 'y']\na: for_each = 'inputs.l'", {"a": 2}),
        ("c: for_each = 'b'\nb: for_each = 'a'\na: for_each = 4", {"a": 4, "b": 4, "c": 4}),
        ("a: seed = 1", {"a": None}),
    ],
)
def test_fan_out(expanded: Expand, text: str, sizes: dict[str, int | None]) -> None:
    """A number, a list, an input or another producer says how often a producer is made."""
    expansion = expanded(text)
    assert expansion.sizes == sizes
    assert len(expansion.cells) == sum(1 if size is None else size for size in sizes.values())


def test_a_long_chain(expanded: Expand) -> None:
    """A chain of two thousand producers is no problem in either order."""
    text = "\n".join(f"p{n}: for_each = 'p{n + 1}'" for n in range(2000)) + "\np2000: for_each = 1"
    assert set(expanded(text).sizes.values()) == {1}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: for_each = 'a'", "producers.a.for_each: a -> a goes round in a circle"),
        ("a: for_each = 'b'\nb: for_each = 'a'", "a -> b -> a goes round"),
        ("a: for_each = 'b'\nb: seed = 1", "a.for_each: the producer 'b' is made once"),
        ("c: for_each = 'a'\na: for_each = 'b'\nb: seed = 1", "a.for_each: the producer 'b' is made once"),
        ("a: for_each = -1", "from 0 to 1,000,000, got -1"),
        ("a: for_each = 1000001", "from 0 to 1,000,000"),
        ("a: for_each = " + "9" * 39, "from 0 to 1,000,000"),
        (f"a: for_each = '{'9' * 5000}'", "is no input and no producer"),
        ("a: for_each = 1000000\nb: seed = 1", "more than 1,000,000 jobs"),
        ("[inputs]\nn = 2.0\na: for_each = 'inputs.n'", "inputs.n must be a list or a whole number"),
        ("[inputs]\nn = true\na: for_each = 'inputs.n'", "inputs.n must be a list or a whole number"),
        ("[inputs]\nn = 'x'\na: for_each = 'inputs.n'", "got 'x'"),
        ("[inputs]\nnumber = 2\na: for_each = 'inputs.numbr'", "did you mean 'inputs.number'"),
        ("[inputs]\nn = 2\na: for_each = 'n'", "'n' is no input and no producer"),
    ],
)
def test_wrong_fan_out(expanded: Expand, text: str, told: str) -> None:
    """Circles, sources without indices and numbers out of range name the producer."""
    with pytest.raises(ConfigError, match=told):
        expanded(text)


@pytest.mark.parametrize(
    ("reference", "upstream"),
    [
        ("{{ a[index].x }}", {"b[0]": ("a[0]",), "b[2]": ("a[2]",)}),
        ("{{ a[index-1] }}", {"b[0]": (), "b[1]": ("a[0]",)}),
        ("{{ a[index+1] }}", {"b[0]": ("a[1]",), "b[2]": ()}),
        ("{{ a[1] }}", {"b[0]": ("a[1]",), "b[2]": ("a[1]",)}),
        ("{{ a }}", {"b[0]": ("a[0]", "a[1]", "a[2]")}),
        ("{{ a[inputs.n] }}", {"b[0]": ("a[0]", "a[1]", "a[2]")}),
        ("{% if index %}{{ b[index-1] }}{% endif %}{{ a[0] }}", {"b[0]": ("a[0]",), "b[2]": ("b[1]", "a[0]")}),
        ("no reference", {"b[1]": ()}),
    ],
)
def test_edges(expanded: Expand, reference: str, upstream: dict[str, tuple[str, ...]]) -> None:
    """A subscript makes one edge, a bare name an edge to all, and a neighbour beyond the ends none."""
    expansion = expanded(f"[inputs]\nn = 1\na: for_each = 3\nb: for_each = 3; prompt = '''{reference}'''")
    for cell, wanted in upstream.items():
        assert set(expansion.cells[cell].upstream) == set(wanted)
        assert expansion.cells[cell].missing == ""


def test_order_and_the_chain_of_neighbours(expanded: Expand) -> None:
    """Every cell comes after what it reads, also in a chain through its own producer."""
    expansion = expanded("b: for_each = 3; images = ['b[index-1]', 'a']\na: for_each = 2")
    order = list(expansion.cells)
    assert all(order.index(up) < order.index(c.id) for c in expansion.cells.values() for up in c.upstream)
    assert order.index("b[0]") < order.index("b[1]") < order.index("b[2]")
    assert [expansion.cells[f"b[{i}]"].missing for i in range(3)] == ["b[-1]", "", ""]


def test_missing_neighbours_fail_for_file_attributes_only(expanded: Expand) -> None:
    """A prompt may guard itself, a file attribute cannot: its cell is marked before anything is sent."""
    guarded = expanded("a: for_each = 2\nb: for_each = 2; prompt = '{% if index %}{{ a[index-1] }}{% endif %}'")
    assert [c.missing for c in guarded.cells.values()] == [""] * 4
    files = expanded("a: for_each = 2\nb: for_each = 2; images = ['a[index+1]']")
    assert files.cells["b[0]"].missing == ""
    assert files.cells["b[1]"].missing == "a[2]"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: prompt = '{{ b }}'\nb: prompt = '{{ a }}'", "producers: (a -> b -> a|b -> a -> b) goes round in a circle"),
        ("a: prompt = '{{ a }}'", "a -> a goes round"),
        ("a: for_each = 2; prompt = '{{ a[index] }}'", r"a\[0\] -> a\[0\] goes round"),
        ("a: for_each = 2; prompt = '{{ a }}'", "goes round in a circle"),
        ("a: for_each = 2\nb: prompt = '{{ a[5] }}'", r"producers.b: a\[5\]: 'a' has indices 0 to 1"),
        ("a: for_each = 2\nb: prompt = '{{ a[index] }}'", r"a\[index\]: `index` is for producers with for_each"),
        ("a: seed = 1\nb: for_each = 2; prompt = '{{ a[index] }}'", r"a\[index\]: 'a' is made once"),
        ("a: seed = 1\nb: images = ['a[1]']", r"a\[1\]: 'a' is made once"),
        ("a: for_each = 3\nb: mask = 'a'", r"b.mask: takes one file, got 3: write a\[index\]"),
        ("a: seed = 1\nb: mask = ['a', 'a']", "b.mask: takes one file, got 2"),
        ("b: mask = []", "b.mask: takes one file, got 0"),
        (
            "a: prompt = '{{ inputs.n }}'",
            "producers.a.prompt: the template uses inputs.n, which the sheet does not have",
        ),
    ],
)
def test_impossible_references(expanded: Expand, text: str, told: str) -> None:
    """What can never work is told before anything is paid."""
    with pytest.raises(ConfigError, match=told):
        expanded(text)


def test_subscripts_of_a_json_list(expanded: Expand) -> None:
    """A producer that is made once and gives JSON may give a list: its subscripts read the list."""
    script = (
        "[producers.s]\noperation = 'text.generate'\nmodels = ['m:x']\nprompt = 'p'\noutput_schema = { type = 'array' }"
    )
    expansion = expanded(f"{script}\nb: for_each = 2; prompt = '{{{{ s[index].x }}}} {{{{ s[1] }}}}'")
    assert expansion.cells["b[1]"].upstream == ("s",)


def test_one_made_once_is_its_first(expanded: Expand) -> None:
    """`P[0]` of a producer that is made once is that producer."""
    assert expanded("a: seed = 1\nb: mask = 'a[0]'").cells["b"].upstream == ("a",)


def test_fallbacks_count(expanded: Expand) -> None:
    """What only a fallback reads is upstream all the same."""
    text = "[producers.b]\noperation = 'image.generate'\nprompt = 'p'\n"
    text += "models = ['m:x', { ref = 'm:y', inputs = { prompt = '{{ a }}' } }]\na: seed = 1"
    assert expanded(text).cells["b"].upstream == ("a",)


def test_local_files(expanded: Expand, tmp_path: Path) -> None:
    """All files that a sheet hands over are known, those named by inputs too."""
    for name in ("x.png", "y.png", "z.png"):
        (tmp_path / name).touch()
    expansion = expanded(
        "[inputs]\np = ['x.png', 'y.png']\na: for_each = 2; mask = 'inputs.p[index]'; images = ['z.png']"
    )
    assert sorted(path.name for path in expansion.files) == ["x.png", "y.png", "z.png"]
