"""The docs site before it is built: pages of docs/ and of the plugins in one folder, API pages, and the configuration.

`PYTHONPATH=tests python -m references.staging FOLDER` makes the folder; with `--built` after it, a site that was built there is
looked at. `nox -s docs` does the one, builds the site, and does the other. The standard library is all that this needs.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from references.pages import DOCS, ROOT

__all__ = ["API", "SECTIONS", "lost", "pages", "stage"]

SECTIONS = {
    "tutorials": "Tutorials",
    "how-to": "How-to guides",
    "reference": "Reference",
    "explanation": "Explanation",
    "providers": "Providers",
    "decisions": "Decisions",
}
"""The folders of docs/, in the order of the navigation."""
API = {
    "callsheet": "For programs: what `import callsheet` gives. [In Python](../python.md) shows it at work.",
    "callsheet.plugin": "For plugins: all that a plugin imports. [For authors](../plugin-module.md) says what is for what.",
    "callsheet.testing": "For plugins' tests. [Test a plugin](../../how-to/test-a-plugin.md) shows it at work.",
}
"""The modules whose docstrings make a page, and its first lines."""
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=(?:#[^)\s]*)?\))")
_FENCED = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def pages() -> dict[Path, Path]:
    """Each page that is written, and where it is in the site; plugins whose name begins with `_` are not for users."""
    found = {path: path.relative_to(DOCS) for path in sorted(DOCS.rglob("*.md"))}
    for path in sorted(ROOT.glob("plugins/[!_]*/docs.md")):
        found[path] = Path("providers", f"{path.parent.name}-in-depth.md")
    return found


def stage(folder: Path) -> None:
    """Make the folder anew, with everything that the builder wants."""
    shutil.rmtree(folder, ignore_errors=True)
    written = pages()
    for source, target in pages().items():
        _write(folder / "docs" / target, _page(source, target, written))
    for source in written.keys() - pages().keys():
        _write(folder / "docs" / written[source], source.read_text(encoding="utf-8"))
    for module, text in API.items():
        _write(
            folder / "docs/reference/api" / f"{module}.md", f"# {module}\n\n{text}\n\n::: {module}\n{_hidden(module)}"
        )
    settings = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    head, project, rest = settings.partition("[project]\n")
    _write(folder / "zensical.toml", f"{head}{project}nav = {_navigation(pages())}\n{rest}{_sources()}")


def _source(module: str) -> Path:
    path = ROOT / "core/src" / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _names(module: str) -> list[str]:
    """What the module exports, read without importing it."""
    body = ast.parse(_source(module).read_text(encoding="utf-8")).body
    targets = (each for each in body if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "__all__")
    found: list[str] = ast.literal_eval(next(targets).value)
    return found


def _hidden(module: str) -> str:
    """Directives for names that are also those of submodules, behind which the builder does not see them."""
    source = _source(module)
    twice = [name for name in _names(module) if source.stem == "__init__" and (source.parent / f"{name}.py").is_file()]
    return "".join(f"\n## {name}\n\n::: {module}.{name}.{name}\n" for name in twice)


def lost(folder: Path) -> list[str]:
    """The public names that the site, built in the folder, says nothing of."""
    missing = []
    for module in API:
        page = (folder / "site/reference/api" / module / "index.html").read_text(encoding="utf-8")
        shown = set(re.findall(r'id="([\w.-]+)"', page))
        missing += [f"{module}.{name}" for name in _names(module) if not {name, f"{module}.{name}"} & shown]
    return missing


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _page(source: Path, target: Path, written: dict[Path, Path]) -> str:
    """The page with its links as they have to be in the site; blocks stay as they are."""
    parts = _FENCED.split(source.read_text(encoding="utf-8"))
    parts[::2] = [_LINK.sub(lambda link: _moved(link[1], source, target, written), part) for part in parts[::2]]
    return "".join(parts)


def _moved(link: str, source: Path, target: Path, written: dict[Path, Path]) -> str:
    """A relative link, as seen from where the page is in the site; a file that is no page is written there, too."""
    path = Path(os.path.normpath(source.parent / link))
    if path not in written and path.suffix != ".md" and path.is_file():
        written[path] = Path("files", path.relative_to(ROOT))
    return Path(os.path.relpath(written[path], target.parent)).as_posix() if path in written else link


def _navigation(written: Mapping[Path, Path]) -> str:
    """By sections; within them the index first, then by title, decisions by number. JSON of lists and tables of one key."""
    tables = [f'{{ "Start" = {json.dumps("README.md")} }}']
    for folder, title in SECTIONS.items():
        inside = {path: source for source, path in written.items() if path.parts[0] == folder}
        ordered = sorted(
            inside, key=lambda path: (path.name != "README.md", folder == "decisions" or _title(inside[path]), path)
        )
        entries = [json.dumps(path.as_posix()) for path in ordered]
        if folder == "reference":
            api = [json.dumps(f"reference/api/{module}.md") for module in API]
            entries.append(f'{{ "Python API" = [{", ".join(api)}] }}')
        tables.append(f"{{ {json.dumps(title)} = [{', '.join(entries)}] }}")
    return "[" + ", ".join(tables) + "]"


def _title(source: Path) -> str:
    return source.read_text(encoding="utf-8").partition("\n")[0]


def _sources() -> str:
    """Where the docstrings are read: without importing anything."""
    return f"\n[project.plugins.mkdocstrings.handlers.python]\npaths = [{json.dumps(str(ROOT / 'core/src'))}]\n"


if __name__ == "__main__":
    if "--built" not in sys.argv:
        stage(Path(sys.argv[1]))
    elif names := lost(Path(sys.argv[1])):
        sys.exit(f"the site says nothing of {', '.join(names)}")
