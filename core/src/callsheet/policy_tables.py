"""The tables of a configuration file that make up the policies: limits, retry, breaker, deadlines, money."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from callsheet.plugin_manifest import PROVIDER_NAME
from callsheet.policies import BreakerPolicy, DeadlinePolicy, LimitPolicy, MoneyPolicy, Policies, RetryPolicy, nearest
from callsheet.settings import Key
from callsheet.toml_tables import Table, quoted

__all__ = ["BY_RATE_KEY", "NONE", "POLICY_TABLES", "policies_of", "policy_defaults", "policy_values"]

NONE = "none"
"""What a file says to lift a bound that another file sets."""

_LONGEST = 30 * 24 * 3600
_MOST = 1_000_000_000
_RATE_KEY = re.compile(rf"{PROVIDER_NAME.pattern}(/[^\s/]+)*")

P = TypeVar("P", LimitPolicy, RetryPolicy, BreakerPolicy)
Reader = Callable[[Table, str], object]


def _count(table: Table, key: str) -> int | None:
    return table.whole(key, least=1, most=_MOST)


def _rate(table: Table, key: str) -> float | None:
    return table.number(key, least=0.001, most=_MOST)


def _seconds(table: Table, key: str) -> float | None:
    return table.number(key, least=0.001, most=_LONGEST)


def _unknown(table: Table, key: str) -> str:
    value = table.text(key)
    if value not in ("allow", "refuse"):
        raise table.error(f'{key} must be "allow" or "refuse": what to do with a call whose price nobody knows')
    return value


def _or_none(read: Reader) -> Reader:
    return lambda table, key: None if table.values.get(key) == NONE else read(table, key)


POLICY_TABLES: Mapping[str, Mapping[str, Reader]] = {
    "limits": {
        "requests_per_second": _or_none(_rate),
        "requests_per_minute": _or_none(_rate),
        "tokens_per_second": _or_none(_rate),
        "tokens_per_minute": _or_none(_rate),
        "concurrency": _or_none(_count),
    },
    "retry": {"attempts": _count, "seconds": _seconds, "longest_wait": _seconds, "first_wait": _seconds},
    "breaker": {"failures": _count, "cooldown": _seconds, "longest_cooldown": _seconds},
    "deadlines": {"attempt": _or_none(_seconds), "job": _or_none(_seconds), "run": _or_none(_seconds)},
    "money": {
        "max_run": _or_none(Table.amount),
        "max_day": _or_none(Table.amount),
        "confirm_above": _or_none(Table.amount),
        "unknown": _unknown,
    },
}
"""The keys of each table, and how each is read."""

BY_RATE_KEY = ("limits", "retry", "breaker")
"""The tables that have tables of their own by rate key: `[retry.acme]`."""

_FIELDS = {"requests_per_second": "requests", "tokens_per_second": "tokens"}


def policy_values(top: Table) -> Iterator[tuple[Key, object]]:
    """What a file says of them, checked; limits by the second. Raises what the tables raise."""
    for name in POLICY_TABLES:
        for (*places, last), value in _values(top.table(name), name):
            by_minute = last.endswith("_per_minute")
            each = value / 60 if by_minute and isinstance(value, float) else value
            yield (*places, last.replace("minute", "second") if by_minute else last), each


def policy_defaults() -> dict[Key, object]:
    """What holds for all where no file says anything."""
    tables = {"retry": RetryPolicy, "breaker": BreakerPolicy, "deadlines": DeadlinePolicy, "money": MoneyPolicy}
    return {(name, each.name): each.default for name, policy in tables.items() for each in fields(policy)}


def policies_of(values: Mapping[Key, object], defaults: Policies) -> Policies:
    """The policies that the values make; what they do not say is as in `defaults`, or as of the shorter rate key."""
    return Policies(
        limits=_by_rate_key(values, "limits", defaults.limits, LimitPolicy()),
        retries=_by_rate_key(values, "retry", defaults.retries, RetryPolicy()),
        breakers=_by_rate_key(values, "breaker", defaults.breakers, BreakerPolicy()),
        deadlines=replace(defaults.deadlines, **_said(values, "deadlines")),
        money=replace(defaults.money, **_said(values, "money")),
    )


def _values(table: Table, name: str) -> Iterator[tuple[Key, object]]:
    known = POLICY_TABLES[name]
    inner = [key for key, value in table.values.items() if name in BY_RATE_KEY and isinstance(value, Mapping)]
    own = [key for key in table.values if key not in inner]
    if own and name == "limits":
        raise table.error(f"{quoted(own[0])} must stand below a provider: write [limits.acme] above it")
    table.only([*known, *inner])
    for key in own:
        yield (name, key), known[key](table, key)
    for rate_key in inner:
        if not _RATE_KEY.fullmatch(rate_key):
            example = f'[{name}.acme], or [{name}."acme/model"] where each model counts by itself'
            raise table.error(f"{quoted(rate_key)} is neither a known key nor a provider: write {example}")
        one = table.table(rate_key)
        one.only(list(known))
        for key in one.values:
            if key.endswith("_per_minute") and key.replace("minute", "second") in one:
                raise one.error(f"{key} stands beside {key.replace('minute', 'second')}: remove one of the two")
            yield (name, rate_key, key), known[key](one, key)


def _by_rate_key(values: Mapping[Key, object], table: str, defaults: Mapping[str, P], default: P) -> dict[str, P]:
    """By rate key; shorter ones first, because longer ones take over from them what they do not say."""
    said: dict[str, dict[str, Any]] = {}
    for name, *places in values:
        if name == table:
            rate_key = places[0] if len(places) > 1 else ""
            said.setdefault(rate_key, {})[_FIELDS.get(places[-1], places[-1])] = values[(name, *places)]
    policies = dict(defaults)
    for rate_key in sorted(said, key=len):
        policies[rate_key] = replace(nearest(policies, rate_key, default), **said[rate_key])
    return policies


def _said(values: Mapping[Key, object], table: str) -> dict[str, Any]:
    return {key[-1]: value for key, value in values.items() if key[0] == table}
