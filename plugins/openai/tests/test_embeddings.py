"""Embeddings: vectors in the texts' order."""

from __future__ import annotations

import asyncio
import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_counterpart.stage import context, handler, job, prepared, rows, told

from callsheet.errors import InvalidRequestError, MalformedOutputError, Sent
from callsheet.money import Cost, estimate
from callsheet.testing import Exchange
from callsheet_openai.testing.verdicts import embeddings

MODEL = "text-embedding-3-small"


def test_texts_become_the_input():
    """One text or many, always a list; vectors come in base64."""
    body = {"model": MODEL, "input": ["a"], "encoding_format": "base64"}
    assert prepared(MODEL, text="a").body == body
    request = prepared(MODEL, texts=["a", "b"], dimensions=8, options={"user": "u"})
    assert request.body == {**body, "input": ["a", "b"], "dimensions": 8, "user": "u"}
    assert request.warnings == ()


def test_no_option_replaces_the_texts():
    """The answer is read by their number."""
    request = prepared(MODEL, texts=["a", "b"], options={"input": ["c"]})
    assert request.body["input"] == ["a", "b"]
    assert told(request) == [("unsupported", "input")]


def test_the_oldest_model_has_one_length():
    """Its row refuses dimensions."""
    request = prepared("text-embedding-ada-002", text="a", dimensions=8)
    assert "dimensions" not in request.body
    assert told(request) == [("unsupported", "dimensions")]


@pytest.mark.parametrize("texts", [["a"] * 2049, ["a", ""]])
def test_what_the_vendor_refuses_is_refused_here(texts):
    """Nothing was sent."""
    with pytest.raises(InvalidRequestError) as caught:
        prepared(MODEL, texts=texts)
    assert caught.value.sent is Sent.NOT_SENT


@pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}])
async def test_vectors_come_whichever_way_they_are_written(server, opened, options):
    """Base64 and lists give the same numbers, in the order of the texts, with the tokens' price."""
    async with opened() as client:
        result = await client.call(f"openai:{MODEL}", texts=["ab", "c"], dimensions=4, options=options)
    sent = {**server.paid[0].json, "encoding_format": "float"}
    wanted = embeddings(Exchange("POST", "/embeddings", {}, {}, json.dumps(sent).encode()))["data"]
    assert result.artifacts[0].value == [each["embedding"] for each in wanted]
    assert [len(each) for each in result.artifacts[0].value] == [4, 4]
    assert result.usage.input_tokens == 2
    assert result.usage.units == {"input_token": 2.0}
    assert estimate(rows()[MODEL].price, result.usage.units) == Cost.exactly("0.00000004")
    assert len(server.paid) == 1


def packed(*numbers: float) -> str:
    """A vector as the vendor writes it."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=9),
        min_size=1,
        max_size=5,
    ),
    st.randoms(),
)
def test_any_order_of_the_answer_is_put_right(vectors, random):
    """Vectors are placed by their index, and are exactly the vendor's 32-bit numbers."""
    data = [{"index": at, "embedding": packed(*vector)} for at, vector in enumerate(vectors)]
    random.shuffle(data)
    request = prepared(MODEL, texts=["a"] * len(vectors))
    result = asyncio.run(handler("text.embed").result({"data": data}, request, None))
    assert result.artifacts[0].value == vectors
    assert result.usage.units == {}


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [{"index": 0, "embedding": packed(1.0)}],
        [{"index": 0, "embedding": packed(1.0)}, {"index": 0, "embedding": packed(1.0)}],
        [{"index": 0, "embedding": packed(1.0)}, {"index": 2, "embedding": packed(1.0)}],
        [{"index": 0, "embedding": packed(1.0)}, {"index": 1, "embedding": "AAA"}],
        [{"index": 0, "embedding": packed(1.0)}, {"index": 1, "embedding": "AAAAAAA="}],
        [{"index": 0, "embedding": packed(1.0)}, {"index": 1, "embedding": ["a"]}],
        [{"index": 0, "embedding": packed(1.0)}, {"index": 1}],
        [{"index": 0, "embedding": packed(1.0)}, {"index": [], "embedding": packed(1.0)}],
    ],
)
async def test_a_vector_that_is_missing_or_none_is_malformed(data):
    """Nothing is filled in, nothing is left out."""
    with pytest.raises(MalformedOutputError):
        await handler("text.embed").result({"data": data}, prepared(MODEL, texts=["a", "b"]), None)


async def test_the_handler_needs_no_engine(opened):
    """The registered handler speaks to the vendor by the context alone."""
    wanted = job(MODEL, text="a", dimensions=1)
    wire = handler("text.embed")
    async with opened() as client:
        result = await wire.invoke(wire.prepare(wanted), context(client, wanted))
    assert result.artifacts[0].value == [[1.0]]
