"""Deadlines: one request, and the time that is shared among models."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.deadlines import attempt_within, earliest, share
from callsheet.errors import ProviderTimeoutError, Sent


async def _answer():
    return 7


async def test_an_answer_in_time_is_given():
    """With a bound and without."""
    assert [await attempt_within(None, _answer(), "a:b"), await attempt_within(5.0, _answer(), "a:b")] == [7, 7]


async def test_a_request_without_an_answer_ends_in_doubt():
    """Nobody knows what the provider made of it."""
    with pytest.raises(ProviderTimeoutError, match=r"a:b gave no answer within 0.01 s \(deadlines.attempt\)") as caught:
        await attempt_within(0.01, asyncio.Event().wait(), "a:b")
    assert caught.value.sent is Sent.UNKNOWN


async def test_a_time_out_of_the_plugin_s_own_stays_what_it_is():
    """Only ours is told as ours."""

    async def fails():
        raise TimeoutError("the plugin's")

    with pytest.raises(TimeoutError, match="the plugin's"):
        await attempt_within(5.0, fails(), "a:b")


def test_the_first_moment_counts():
    """None is never."""
    assert [earliest(None, 3.0, 2.0), earliest(None, None), earliest()] == [2.0, None, None]


@given(now=st.floats(0, 1e6), left=st.floats(-10, 1e6), choices=st.integers(1, 9))
def test_what_is_left_is_shared(now, left, choices):
    """Each model may take an equal part; the last one all of it, and nobody more than there is."""
    until = share(now, now + left, choices)
    assert until is not None
    assert now <= until <= max(now, now + left) + 1e-6
    assert share(now, None, choices) is None
