"""`callsheet completion`: the script for a shell, and what it is told about models, sheets and runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, get_completion_class

__all__ = ["VARIABLE", "complete_models", "complete_sheets", "completion", "prepare_completion"]

VARIABLE = "_CALLSHEET_COMPLETE"
"""The environment variable through which a shell asks; click finds it by itself."""
_MOST_FOLDERS = 200
_SHELLS = ("bash", "zsh", "fish")
_HOW = {
    "bash": 'eval "$(callsheet completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(callsheet completion zsh)"   # in ~/.zshrc',
    "fish": "callsheet completion fish > ~/.config/fish/completions/callsheet.fish",
}
Items: TypeAlias = "list[CompletionItem[str]]"  # generic only since click 8.3


@click.command(epilog="To have it in every shell:\n\n" + "\n\n".join(_HOW.values()))
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes callsheet's commands, models and sheets in SHELL."""
    from callsheet.cli.commands import cli

    prepare_completion()
    chosen = get_completion_class(shell)
    assert chosen is not None
    click.echo(chosen(cli, {}, "callsheet", VARIABLE).source())


def prepare_completion() -> None:
    """Teach click that bash takes a model's name for several words."""
    add_completion_class(_Bash)


class _Bash(BashComplete):
    """Bash ends a word at `:` and `=`, which stand in the middle of `provider:model` and `clip=provider:model`."""

    name = "bash"

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to complete, and that one; what bash has torn apart is one word again."""
        args, incomplete = super().get_completion_args()
        words = _mended([*args, incomplete])
        self._kept = max(words[-1].rfind(":"), words[-1].rfind("=")) + 1
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Without the part that bash does not replace."""
        if item.type == "plain" and not item.value.startswith("-"):
            item = CompletionItem(item.value[self._kept :], type=item.type, help=item.help)
        return super().format_completion(item)


def _mended(words: list[str]) -> list[str]:
    whole: list[str] = []
    joined = False
    for word in words:
        if joined:
            whole[-1] += word
            joined = word in (":", "=")
        elif word in (":", "=") and whole and not whole[-1].startswith("-"):
            whole[-1] += word
            joined = True
        else:
            whole.append(word)
    return whole


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """The models and aliases that begin so; for `PRODUCER=REF` those after the sign."""
    before, sign, asked = incomplete.rpartition("=")
    project = ctx.params.get("project")
    names = _quietly(lambda: _model_names(project if isinstance(project, Path) else None))
    return [CompletionItem(f"{before}{sign}{name}") for name in names if name.startswith(asked)]


def complete_sheets(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:  # noqa: ARG001
    """The folders with a `sheet.toml` that begin so, two levels deep; else the shell completes folders."""
    found = _quietly(lambda: sorted(_sheet_folders(incomplete)))
    return [CompletionItem(name) for name in found] or [CompletionItem(incomplete, type="file")]


def _quietly(find: Callable[[], list[str]]) -> list[str]:
    """Nothing at all when something is wrong: a half-typed command is no place for an error."""
    try:
        return find()
    except Exception:  # noqa: BLE001 - a broken configuration, a folder that may not be read
        return []


def _model_names(project: Path | None) -> list[str]:
    from callsheet.cli.models import discover_project

    _, catalog = discover_project(project)
    models = catalog.search()
    return [*(info.name for info in models), *(alias for info in models for alias in info.aliases)]


def _sheet_folders(incomplete: str) -> Iterator[str]:
    """Each folder as it would be typed."""
    typed, _, beginning = incomplete.rpartition("/")
    base = Path(incomplete[: len(typed) + 1] or ".").expanduser()
    for folder in _folders(base):
        if not folder.name.startswith(beginning):
            continue
        for place in (folder, *_folders(folder)):
            if (place / "sheet.toml").is_file():
                yield incomplete[: len(incomplete) - len(beginning)] + place.relative_to(base).as_posix()


def _folders(base: Path) -> list[Path]:
    with os.scandir(base) as entries:
        found = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    return [base / name for name in found[:_MOST_FOLDERS]]
