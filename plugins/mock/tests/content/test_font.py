"""The bitmap font and fitting text into boxes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callsheet_mock.content.font import ADVANCE, GLYPH_HEIGHT, PITCH, fit, raster, wrap


def test_all_printable_characters_differ() -> None:
    """Each character has a glyph of its own, and only the space is empty."""
    glyphs = {character: tuple(raster([character], 1)) for character in map(chr, range(32, 127))}
    assert len(set(glyphs.values())) == 95
    assert [character for character, rows in glyphs.items() if not any(map(any, rows))] == [" "]


def test_other_characters_become_question_marks() -> None:
    """What has no glyph is shown as a question mark."""
    assert raster(["é雪\t"], 1) == raster(["???"], 1)


def test_a_letter_looks_like_itself() -> None:
    """The rows of an L from top to bottom."""
    rows = ["".join(".#"[pixel] for pixel in row) for row in raster(["L"], 1)]
    assert rows == ["#....."] * 6 + ["#####."]


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4), st.integers(1, 4))
def test_rasters_are_rectangles(lines: list[str], scale: int) -> None:
    """All rows are equally long, and there are as many as the lines need."""
    rows = raster(lines, scale)
    assert {len(row) for row in rows} == {max(map(len, lines)) * ADVANCE * scale}
    assert len(rows) == ((len(lines) - 1) * PITCH + GLYPH_HEIGHT) * scale


def test_wrapping_keeps_words_whole_where_it_can() -> None:
    """Lines break at spaces; a word longer than a line is cut."""
    assert wrap(["a goat on the ridge", "mountaineering\nx"], 7) == [
        "a goat",
        "on the",
        "ridge",
        "mountai",
        "neering",
        "x",
    ]


@given(st.lists(st.text(max_size=60), max_size=6), st.integers(1, 3000), st.integers(1, 3000))
def test_fitted_text_fits(lines: list[str], width: int, height: int) -> None:
    """A fitted text is never larger than the box."""
    shown, scale = fit(lines, width, height)
    rows = raster(shown, scale) if shown else []
    assert len(rows) <= height
    assert all(len(row) - scale <= width for row in rows)


def test_text_that_is_too_long_is_cut_visibly() -> None:
    """Three dots stand where text is missing."""
    shown, _ = fit(["word " * 500], 200, 60)
    assert shown[-1].endswith("...")
