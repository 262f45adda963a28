"""What a call used up, in the words of either wire, and in the units that the model's price counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callsheet.plugin import Cost, JobContext, Usage

__all__ = ["count", "special_cost", "token_usage"]

_USUAL_TIERS = ("", "auto", "default")
_MOST = 2**53
"""No count is as large; what is would be no exact number in JSON."""


def token_usage(raw: object, context: JobContext, searches: int = 0) -> Usage:
    """Token counts. Units are what the price rows name, and every token is in one of them.

    `input_token`, `cached_token`, `cache_write_token`, `input_audio_token` share the input, `output_token` and
    `output_audio_token` the output (with what was thought); where the row has no price for a class, its tokens count
    as plain ones. Above the row's `data.long_context` tokens of input, each unit is called `long_…`.
    """
    if not isinstance(raw, Mapping):
        return Usage()
    given, made = count(raw, "input_tokens", "prompt_tokens"), count(raw, "output_tokens", "completion_tokens")
    before, after = _details(raw, "input", "prompt"), _details(raw, "output", "completion")
    cached, thought = count(before, "cached_tokens"), count(after, "reasoning_tokens")
    model = context.job.model
    priced = {row.per for row in model.price}
    units: dict[str, float] = {}
    if priced and given is not None and made is not None:
        parts = {
            "cached_token": cached or 0,
            "cache_write_token": count(before, "cache_write_tokens") or 0,
            "input_audio_token": count(before, "audio_tokens") or 0,
        }
        sound = {"output_audio_token": count(after, "audio_tokens") or 0}
        tokens = _split("input_token", given, parts, priced) | _split("output_token", made, sound, priced)
        edge = model.data.get("long_context")
        long = isinstance(edge, int) and given > edge
        units = {f"long_{unit}": float(amount if long else 0) for unit, amount in tokens.items()} if edge else {}
        units |= {unit: float(0 if long else amount) for unit, amount in tokens.items()}
        units["web_search"] = float(searches)
    return Usage(given, made, cached, thought, {unit: amount for unit, amount in units.items() if unit in priced})


def special_cost(tier: object, context: JobContext, *, sandbox: bool) -> Cost | None:
    """An unknown cost, with the reason, where the price rows do not tell all; else None."""
    if not context.job.model.price:
        return None
    if isinstance(tier, str) and tier not in _USUAL_TIERS:
        return Cost.unknown(f"the prices on record are not those of the service tier {tier}")
    return Cost.unknown("code interpreter sessions are billed beside the tokens") if sandbox else None


def _split(rest: str, total: int, parts: Mapping[str, int], priced: set[str]) -> dict[str, int]:
    apart = {unit: amount for unit, amount in parts.items() if unit in priced}
    return {rest: max(total - sum(apart.values()), 0), **apart}


def _details(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        details = raw.get(f"{name}_tokens_details")
        if isinstance(details, Mapping):
            return details
    return {}


def count(raw: Mapping[str, Any], *names: str) -> int | None:
    """The first of these fields that is a count; None when none is."""
    for name in names:
        value = raw.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST:
            return value
    return None
