"""`callsheet model`: one model at a time."""

from __future__ import annotations

import click

from callsheet.cli.commands import SuggestingGroup
from callsheet.cli.model_add import add
from callsheet.cli.model_diff import diff
from callsheet.cli.models import show

__all__ = ["model"]


@click.group(cls=SuggestingGroup, commands=[show, add, diff])
def model() -> None:
    """Show one model; keep rows of your own for models that no plugin has a row for."""
