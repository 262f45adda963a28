"""The data of calls: states, receipts, results."""

from __future__ import annotations

from dataclasses import fields

import pytest

from callsheet.digests import json_ready
from callsheet.jobs import Expected, JobResult, Receipt, RemoteState, RemoteStatus, Usage
from callsheet.models import ModelRef, Operation


@pytest.mark.parametrize("state", RemoteState)
def test_terminal(state: RemoteState) -> None:
    """Only a queued or running job may still change."""
    assert RemoteStatus(state).terminal is (state.value in ("succeeded", "failed", "cancelled"))


def test_a_receipt_holds_no_address_and_no_secret() -> None:
    """A receipt names the provider's job; it has no field for a URL or a key to the account."""
    names = {f.name for f in fields(Receipt)}
    assert not {name for name in names if "url" in name or "secret" in name or "token" in name}
    receipt = Receipt(ModelRef("p", "m"), Operation.IMAGE_GENERATE, "j", "k", "d", (), 1.0)
    assert (receipt.version, receipt.expires, receipt.state) == (1, None, {})


def test_unknown_fields_stay_out_of_json() -> None:
    """What the provider decides is absent, not null."""
    assert json_ready(Expected("blob", "image/png", width=4)) == {
        "kind": "blob",
        "media_type": "image/png",
        "count": 1,
        "width": 4,
    }


def test_a_result_shares_no_defaults() -> None:
    """Two results have their own usage and metadata."""
    one, two = JobResult(()), JobResult(())
    assert one.meta is not two.meta
    assert one.usage == Usage()
    assert one.finish == "stop"
