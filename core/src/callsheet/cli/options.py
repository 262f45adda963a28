"""Flags that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from callsheet.pay_once import OnUnknown
    from callsheet.runs import RunRequest

__all__ = [
    "PAIR",
    "call_cost_option",
    "complete_refs",
    "json_option",
    "max_cost_option",
    "mode_option",
    "on_unknown_of",
    "on_unknown_option",
    "project_option",
    "request_of",
    "sheet_argument",
    "sheet_options",
    "table_of",
]

F = TypeVar("F", bound=Callable[..., Any])
Pair = tuple[str, str]


class PairType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """`name=value`, split at the first `=`."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Pair:
        """The name and the value. Fails where there is no `=` or no name."""
        if isinstance(value, tuple):
            return value
        name, sign, text = str(value).partition("=")
        if not sign or not name.strip():
            self.fail(f"{value!r} is not {param.metavar if param and param.metavar else 'NAME=VALUE'}", param, ctx)
        return name.strip(), text


PAIR = PairType()

# Not handed to the commands: the session knows before parsing whether JSON was asked for.
json_option = click.option("--json", is_flag=True, expose_value=False, help="Print one JSON document.")
project_option = click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A folder of the project.  [default: the working folder]",
)
mode_option = click.option(
    "--mode", type=click.Choice(["live", "mock"]), default="live", show_default=True, help="Mock calls nobody."
)
on_unknown_option = click.option(
    "--on-unknown",
    type=click.Choice(["fail", "retry"]),
    help="What to do with a call of which nobody knows whether it was paid for.",
)


class AmountType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """US dollars, 0 or more."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """The amount, exactly as it is written."""
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal("nan")
        if not amount.is_finite() or amount < 0:
            self.fail(f"{value!r} is no amount in US dollars, for example 2.50", param, ctx)
        return amount


def _cost_option(what: str) -> Callable[[F], F]:
    told = f"{what} above this; of unknown price, only if [money] says so."
    return click.option("--max-cost", type=AmountType(), metavar="USD", help=told)


max_cost_option = _cost_option("Start nothing that could bring the run")
call_cost_option = _cost_option("Send nothing that could bring the cost")


def _complete_sheets(ctx: click.Context, param: click.Parameter, incomplete: str) -> Any:
    from callsheet.cli.completion import complete_sheets

    return complete_sheets(ctx, param, incomplete)


def complete_refs(ctx: click.Context, param: click.Parameter, incomplete: str) -> Any:
    """The names of models, for the shell."""
    from callsheet.cli.completion import complete_models

    return complete_models(ctx, param, incomplete)


sheet_argument = click.argument("sheet", type=click.Path(exists=True, path_type=Path), shell_complete=_complete_sheets)

_SHEET_OPTIONS = (
    mode_option,
    click.option("--mock", multiple=True, metavar="P,…", help="Mock these producers only."),
    click.option("--input", "inputs", type=PAIR, multiple=True, metavar="NAME=VALUE", help="Another input value."),
    click.option(
        "--model",
        "models",
        type=PAIR,
        multiple=True,
        metavar="PRODUCER=REF",
        shell_complete=complete_refs,
        help="Another model, kept for later runs.",
    ),
    click.option("--strict", is_flag=True, help="Warnings are errors."),
    click.option("--reset-selection", is_flag=True, help="Forget the models chosen earlier with --model."),
)


def sheet_options(function: F) -> F:
    """The flags that say how a sheet is run; `request_of` makes a RunRequest of them."""
    for option in reversed(_SHEET_OPTIONS):
        function = option(function)
    return function


def request_of(asked: dict[str, Any]) -> RunRequest:
    """The request that a command's flags ask for. Raises UsageError."""
    from callsheet.models import Mode
    from callsheet.runs import RunRequest

    output: Path | None = asked.get("output")
    return RunRequest(
        mode=Mode(asked["mode"]),
        mock=mocked(asked["mock"]),
        inputs=table_of(asked["inputs"], "--input"),
        models=table_of(asked["models"], "--model"),
        reset_selection=asked["reset_selection"],
        strict=asked["strict"],
        fail_fast=asked.get("fail_fast", False),
        on_unknown=on_unknown_of(asked.get("on_unknown")),
        max_cost=asked.get("max_cost"),
        output=output,
    )


def on_unknown_of(word: str | None) -> OnUnknown:
    """The policy that `--on-unknown` names."""
    from callsheet.pay_once import OnUnknown

    return OnUnknown.DEFAULT if word is None else OnUnknown(word)


def mocked(lists: Iterable[str]) -> frozenset[str]:
    """The producers of `--mock P,Q`. Raises UsageError for an empty name."""
    names = [name.strip() for each in lists for name in each.split(",")]
    if not all(names):
        raise click.UsageError(
            "--mock wants names of producers with commas between them, for example --mock clip,music"
        )
    return frozenset(names)


def table_of(pairs: Iterable[Pair], flag: str) -> dict[str, str]:
    """The pairs as a dict. Raises UsageError for an empty value of --model and for a name given twice."""
    table: dict[str, str] = {}
    for name, value in pairs:
        if name in table:
            raise click.UsageError(f"{flag} {name} is given twice")
        if flag == "--model" and not value.strip():
            raise click.UsageError(f"{flag} {name}= names no model: write {flag} {name}=provider:model")
        table[name] = value.strip() if flag == "--model" else value
    return table
