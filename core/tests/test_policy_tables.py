"""[limits], [retry], [breaker], [deadlines] and [money]: what they may say, and what becomes of it."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import ConfigError
from callsheet.policies import BreakerPolicy, DeadlinePolicy, LimitPolicy, MoneyPolicy, Policies, RetryPolicy
from callsheet.policy_tables import POLICY_TABLES, policies_of, policy_defaults, policy_values
from callsheet.toml_tables import Table

FULL = """
[limits.acme]
requests_per_second = 10
tokens_per_minute = 90_000
concurrency = 20
[limits."acme/owner/model"]
requests_per_minute = 30
[retry]
attempts = 6
[retry.acme]
seconds = 60
[retry."acme/m"]
attempts = 1
[breaker]
failures = 3
[breaker.acme]
cooldown = 5
[deadlines]
attempt = "none"
job = 3600
[money]
max_run = 5.10
max_day = "20.000000000000000001"
unknown = "refuse"
"""


def policies(text: str, defaults: Policies | None = None) -> Policies:
    """The policies of a document."""
    top = Table(tomllib.loads(text), "x.toml", ConfigError)
    return policies_of(dict(policy_values(top)), defaults or Policies())


def test_everything_is_read() -> None:
    """A longer rate key takes over from the shorter one what it does not say, and that from what holds for all."""
    read = policies(FULL)
    assert read.limit("acme/x") == LimitPolicy(10, 1500, 20)
    assert read.limit("acme/owner/model") == LimitPolicy(0.5, 1500, 20)
    assert read.retry("other") == RetryPolicy(attempts=6)
    assert read.retry("acme") == RetryPolicy(attempts=6, seconds=60)
    assert read.retry("acme/m") == RetryPolicy(attempts=1, seconds=60)
    assert read.breaker("other") == BreakerPolicy(failures=3)
    assert read.breaker("acme") == BreakerPolicy(failures=3, cooldown=5)
    assert read.deadlines == DeadlinePolicy(attempt=None, job=3600)
    assert read.money == MoneyPolicy(Decimal("5.1"), Decimal("20.000000000000000001"), unknown="refuse")


def test_nothing_said_is_the_defaults_of_the_host() -> None:
    """And what is said goes over them."""
    server = Policies.for_server()
    assert policies("", server) == server
    assert policies("[retry]\nattempts = 9", server).retry("acme") == RetryPolicy(9, 20, 5, 0.25)
    assert policies("[deadlines]\nrun = 5", server).deadlines == DeadlinePolicy(300, 3600, 5)


@given(st.decimals(min_value=0, max_value=10**6, places=2))
def test_money_is_exact(amount: Decimal) -> None:
    """As a number or as a text: no cent goes lost in a float."""
    for written in (f"{amount}", f'"{amount}"'):
        assert policies(f"[money]\nmax_run = {written}").money.max_run == amount


def test_the_keys_are_the_fields() -> None:
    """Every policy can be configured whole, and a default is listed for each key that holds for all."""
    kinds = {"retry": RetryPolicy, "breaker": BreakerPolicy, "deadlines": DeadlinePolicy, "money": MoneyPolicy}
    for name, kind in kinds.items():
        assert list(POLICY_TABLES[name]) == [each.name for each in fields(kind)]
    assert list(policy_defaults()) == [(name, key) for name in kinds for key in POLICY_TABLES[name]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limits]\nconcurrency = 3", r"\[limits\]: 'concurrency' must stand below a provider: write \[limits.acme\]"),
        ("[limits]\nacme = 3", r"\[limits\]: 'acme' must stand below a provider"),
        (
            "[limits.acme]\nrequest_per_second = 3",
            r"\[acme\]: unknown key 'request_per_second'; did you mean 'requests",
        ),
        ("[limits.acme]\nrequests_per_second = 0", "requests_per_second must be a number from 0.001 to 1,000,000,000"),
        ("[limits.acme]\nconcurrency = 2.5", "concurrency must be a whole number from 1 to"),
        (
            "[limits.acme]\ntokens_per_second = 1\ntokens_per_minute = 1",
            "tokens_per_minute stands beside tokens_per_second: remove one",
        ),
        ('[limits."acme:m"]\nconcurrency = 2', r"'acme:m' is neither .* a provider: write .*\[limits.\"acme/model\"\]"),
        ("[limits.acme.m]\nconcurrency = 2", "unknown key 'm'"),
        ("[retry]\nattempt = 3", r"\[retry\]: unknown key 'attempt'; did you mean 'attempts'"),
        ("[retry]\nattempts = 0", "attempts must be a whole number from 1"),
        ("[retry]\nseconds = nan", "seconds must be a number from 0.001 to 2,592,000"),
        ("[retry]\nseconds = true", "seconds must be a number"),
        ('[retry]\nlongest_wait = "1m"', "longest_wait must be a number"),
        ('[retry]\nseconds = "none"', "seconds must be a number"),
        ("[retry.Acme]\nattempts = 1", "'Acme' is neither a known key nor a provider"),
        ("[breaker]\nfailures = 0", "failures must be a whole number from 1"),
        ("[deadlines]\nattempt = -1", "attempt must be a number from 0.001"),
        ("[deadlines.acme]\nattempt = 1", r"\[deadlines\]: unknown key 'acme'"),
        ("[money]\nmax_run = -1", "max_run must be 0 or more"),
        ('[money]\nmax_run = "five"', "max_run must be an amount in US dollars, for example max_run = 0.03"),
        ("[money]\nmax_run = inf", "max_run must be 0 or more"),
        ('[money]\nunknown = "ask"', 'unknown must be "allow" or "refuse"'),
        ("retry = 3", r"\[retry\]: must be a table, not a number"),
    ],
)
def test_each_mistake_names_table_key_and_remedy(text: str, said: str) -> None:
    """With the nearest key that there is."""
    with pytest.raises(ConfigError, match=said) as error:
        policies(text)
    assert str(error.value).startswith("x.toml: ")
