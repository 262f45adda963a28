"""The drawings of the floors: of the import contracts in pyproject.toml, and of the comments that name the floors there."""

from __future__ import annotations

import re
import tomllib

from references.pages import ROOT, read

__all__ = ["ARCHITECTURE", "architecture", "floors"]

ARCHITECTURE = "explanation/architecture.md"
_FLOOR = re.compile(r"^  # (?:\d )?([\w ]+): (.+)$")
_RULE = " " + "─" * 101
_SHOWN = 6


def floors() -> list[tuple[str, str, list[list[str]]]]:
    """Each floor from the top: its name, what it is, and its rows of modules."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    layers = iter(next(each for each in contracts if each["type"] == "layers")["layers"])
    found: list[tuple[str, str, list[list[str]]]] = []
    for line in text.partition("\nlayers = [\n")[2].partition("\n]")[0].splitlines():
        if heading := _FLOOR.match(line):
            found.append((heading[1], heading[2], []))
        else:
            assert line.startswith('  "'), (
                f"pyproject.toml: {line!r} is neither a layer nor `# name: what the floor is`"
            )
            found[-1][2].append([name.strip(" ()") for name in re.split(r"[:|]", next(layers))])
    return found


def _text() -> str:
    lines: list[str] = []
    for name, what, rows in floors():
        lines += [_RULE] if lines else []
        lines.append(f" {name.upper():<14}{what}")
        for number, row in enumerate(rows, 1):
            lines.append(f"{' ' * 15}{'└' if number == len(rows) else '├'}─ {' · '.join(row)}")
    return "\n".join(["```text", *lines, "```"])


def _chart() -> str:
    """One box a floor, each on the one that it may import from, and the plugins beside."""
    drawn = ["```mermaid", "flowchart TB", "    user([you]) --> edges"]
    names = [name.replace(" ", "_") for name, *_ in floors()]
    for number, (name, what, rows) in enumerate(floors()):
        modules = [module for row in rows for module in row]
        shown = ", ".join(modules[:_SHOWN]) + (f", … ({len(modules)} modules)" if len(modules) > _SHOWN else "")
        below = f" --> {names[number + 1]}" if number + 1 < len(names) else ""
        drawn.append(f'    {names[number]}["<b>{name}</b>: {what.replace(";", ",")}<br/>{shown}"]{below}')
    drawn += [f'    plugins["plugins<br/>{", ".join(_plugins())}, yours"] --> plugin_API']
    drawn += ['    host -. "finds plugin.toml,<br/>imports late" .-> plugins', "```"]
    return "\n".join(drawn)


def _plugins() -> list[str]:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return [name for name in linter["root_packages"] if name != "callsheet"]


def architecture() -> str:
    """The page, with the drawings in the place of its own."""
    before, heading, rest = read(ARCHITECTURE).partition("## The floors\n")
    floors_section, next_heading, after = rest.partition("\n## ")
    drawings = iter((_text(), _chart()))
    drawn = re.sub(r"```(?:text|mermaid)\n.*?```", lambda _: next(drawings), floors_section, flags=re.DOTALL)
    return before + heading + drawn + next_heading + after
