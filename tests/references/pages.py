"""The pages as data: what stands under a heading, the rows of a table, the names in code marks."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["CODE", "DOCS", "ROOT", "named", "plain", "read", "section", "table"]

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\[([^\]]*)\]\([^)\s]+\)")


def read(page: str) -> str:
    """A page's text."""
    return (DOCS / page).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next heading; comments in blocks are no headings."""
    fenced, inside, found = False, False, []
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if not fenced and line.startswith("#"):
            inside = line.lstrip("#") == f" {heading}"
        elif inside:
            found.append(line)
    assert found, f"there is no heading {heading!r}"
    return "\n".join(found)


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column is called `first`, with its cells as they are written."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))])
    return rows


def named(rows: list[list[str]], column: int = 0) -> list[str]:
    """All names in code marks in one column."""
    return [name for row in rows for name in CODE.findall(row[column])]


def plain(cell: str) -> str:
    """A cell without links and code marks, as a sentence begins."""
    text = _LINK.sub(r"\1", cell).replace("`", "").replace("\\|", "|")
    return text[:1].upper() + text[1:]
