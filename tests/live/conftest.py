"""Checks against the real vendors: only by `nox -s live`, with a key in the environment, and never over a budget."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from callsheet.client import Client
from callsheet.models import ModelInfo, Operation
from callsheet.project import Project
from callsheet.settings import Settings

BUDGET = "CALLSHEET_LIVE_BUDGET_USD"
DEFAULT_BUDGET = "0.05"


class Purse:
    """What a session may spend. A check says before its call what the call can cost at most."""

    def __init__(self, budget: Decimal) -> None:
        self.budget = budget
        self.reserved = Decimal(0)

    def reserve(self, usd: Decimal) -> None:
        """Set money aside, or fail before anything is sent."""
        if self.reserved + usd > self.budget:
            left = self.budget - self.reserved
            pytest.fail(f"this check can cost ${usd}, and ${left} of ${self.budget} is left: raise {BUDGET}")
        self.reserved += usd


@pytest.fixture(scope="session")
def purse() -> Purse:
    """One purse for all checks."""
    return Purse(Decimal(os.environ.get(BUDGET, DEFAULT_BUDGET)))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client with the environment's keys and base URLs, and a ledger of its own."""
    async with await Client.open(Project.at(tmp_path), Settings()) as opened:
        yield opened


def price_of(model: ModelInfo, unit: str) -> Decimal:
    """What one unit costs."""
    return next(row.usd for row in model.price if row.per == unit)


def cheapest(client: Client, operation: Operation, unit: str) -> ModelInfo:
    """The row of the lowest price among those that stay."""
    rows = client.catalog.search(operation=operation, provider="openai")
    priced = [row for row in rows if not row.deprecated and any(price.per == unit for price in row.price)]
    return min(priced, key=lambda row: (price_of(row, unit), row.model))


@pytest.fixture
def afford(client: Client, purse: Purse):
    """Choose the cheapest model for an operation, and set aside what these many units can cost at most."""

    def choose(operation: str, **units: int) -> str:
        model = cheapest(client, Operation(operation), next(iter(units)))
        purse.reserve(sum((price_of(model, unit) * count for unit, count in units.items()), Decimal(0)))
        return model.name

    return choose
