"""What goes into one batch: groups, sizes, limits, keys."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.artifacts import FileRef
from callsheet.batching import batch_key, cut, is_batch, request_bytes
from callsheet.jobs import ProviderRequest, Receipt
from callsheet.models import ModelRef, Operation
from callsheet.plugin_manifest import BatchLimits

REF = ModelRef("acme", "batch")


def request(**body):
    """A request with this body."""
    return ProviderRequest(REF, Operation.TEXT_GENERATE, body, ())


@given(
    items=st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 10)), max_size=60),
    requests=st.integers(1, 9),
    size=st.integers(10, 40),
)
def test_cut_keeps_groups_order_and_limits(items, requests, size):
    """Every item is in exactly one batch; each batch is of one group, within both limits, and in order."""
    numbered = list(enumerate(items))
    limits = BatchLimits(requests, size, Decimal(1))
    batches = cut(numbered, limits, lambda item: item[1][0], lambda item: item[1][1])
    assert sorted(item for batch in batches for item in batch) == numbered
    for batch in batches:
        assert len({group for _, (group, _) in batch}) == 1
        assert len(batch) <= requests
        assert sum(weight for _, (_, weight) in batch) <= size
        assert batch == sorted(batch)


def test_cut_wastes_no_batch():
    """A batch is full before another one of its group begins, also where groups take turns."""
    limits = BatchLimits(2, 100)
    batches = cut("abababa", limits, str, lambda _: 1)
    assert batches == [["a", "a"], ["b", "b"], ["a", "a"], ["b"]]


@pytest.mark.parametrize("body", [{"prompt": "lava"}, {"prompt": "熔岩" * 50}, {"deep": [{"list": [1, 2]}]}])
def test_a_request_is_not_counted_too_small(body):
    """However a plugin writes its JSON, escaped or not, it fits."""
    import json

    written = json.dumps({"id": "k" * 64, "method": "POST", "url": "/v1/" + "x" * 40, "body": body}).encode()
    assert request_bytes(request(**body)) >= len(written)


def test_files_count_as_they_are_sent():
    """A file becomes base64 in a batch."""
    file = FileRef("a" * 64, "image/png", 3000)
    with_file, without = request(prompt="x", images=[file, file]), request(prompt="x", images=[])
    assert request_bytes(with_file) - request_bytes(without) >= 2 * 4000


def test_the_same_calls_tried_again_are_another_batch():
    """The key depends on the calls, their order and their attempts."""
    keys = {batch_key(calls) for calls in ([("a", 1)], [("a", 2)], [("a", 1), ("b", 1)], [("b", 1), ("a", 1)])}
    assert len(keys) == 4
    assert batch_key([("a", 1)]) in keys


def test_a_batch_s_receipt_is_known_by_its_digest():
    """A single job's key is not its digest."""
    receipt = Receipt(REF, Operation.TEXT_GENERATE, "1", "k", "k", (), 1.0)
    assert is_batch(receipt)
    assert is_batch(receipt, "k")
    assert not is_batch(receipt, "other")
    assert not is_batch(Receipt(REF, Operation.TEXT_GENERATE, "1", "k", "d", (), 1.0))
