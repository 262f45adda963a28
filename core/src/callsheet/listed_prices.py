"""Prices of text models from the list of genai-prices, where it is installed and the model's own row has none.

The list (MIT, github.com/pydantic/genai-prices) comes with the package and is not updated over the network. Models are looked up
under their provider's own name. What cannot be said by flat prices (tiers, other kinds of tokens) is left unknown.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING

from callsheet.models import ModelInfo, Operation
from callsheet.money import PriceRow

if TYPE_CHECKING:
    from genai_prices.types import Provider

__all__ = ["with_listed_price"]

_UNITS = {
    "input_mtok": ("input_token", 10**6),
    "output_mtok": ("output_token", 10**6),
    "cache_read_mtok": ("cached_token", 10**6),
    "cache_write_mtok": ("cache_write_token", 10**6),
    "web_searches_kcount": ("web_search", 1000),
}
_BY_TOKENS = (Operation.TEXT_GENERATE, Operation.TEXT_EMBED)


def with_listed_price(info: ModelInfo) -> ModelInfo:
    """The row with the list's price where it has none of its own; the row as it is where nobody knows one."""
    if info.price or info.operation not in _BY_TOKENS or find_spec("genai_prices") is None:
        return info
    from genai_prices.data_snapshot import get_snapshot

    providers = get_snapshot().providers
    provider = next((each for each in providers if each.id == info.provider), None)
    return info if provider is None else replace(info, price=_rows(info, provider, providers))


def _rows(info: ModelInfo, provider: Provider, providers: list[Provider]) -> tuple[PriceRow, ...]:
    now = datetime.now(UTC)
    model = provider.find_model(info.model, all_providers=providers)
    prices = {} if model is None else {k: v for k, v in vars(model.get_prices(now)).items() if v is not None}
    needed = {"input_mtok", "output_mtok"} if info.operation is Operation.TEXT_GENERATE else {"input_mtok"}
    others = [key for key in prices if key not in _UNITS and key.endswith("_mtok")]
    known = {key: price for key, price in prices.items() if key in _UNITS}
    if others or not needed <= known.keys() or not all(isinstance(price, Decimal) for price in known.values()):
        return ()
    source, read = _source(provider)
    return tuple(
        PriceRow(_UNITS[key][0], price / _UNITS[key][1], read, source)
        for key, price in known.items()
        if isinstance(price, Decimal)
    )


def _source(provider: Provider) -> tuple[str, str]:
    """Where the prices are from, and the day on which the list came to this machine: it has no date of its own."""
    from importlib.metadata import version
    from pathlib import Path

    from genai_prices import data

    read = datetime.fromtimestamp(Path(data.__file__).stat().st_mtime, UTC).date().isoformat()
    page = next(iter(provider.pricing_urls or ()), "").removeprefix("https://")
    return f"{page + ', as in ' if page else ''}genai-prices {version('genai-prices')}", read
