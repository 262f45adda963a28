"""What a call will cost, as far as its request tells."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.artifacts import FileRef
from callsheet.estimates import OVERHEAD, TOKENS_OF_A_TOOL_CALL, TOOL_CALLS, estimate_request
from callsheet.inputs import EmbedInputs, ImageInputs, TextInputs
from callsheet.jobs import Job, ProviderRequest
from callsheet.messages import Message, TextPart
from callsheet.models import ModelInfo, ModelRef, Operation
from callsheet.money import Cost, PriceRow

REF = ModelRef("acme", "words")
TOKENS = {"input_token": "0.000002", "cached_token": "0.0000002", "output_token": "0.00001"}
LONG = {**TOKENS, "long_input_token": "0.000004", "long_output_token": "0.00002"}


def cost(inputs, body, units=None, prices=None, operation=Operation.TEXT_GENERATE, **data) -> Cost:
    """The estimate of a request."""
    rows = tuple(PriceRow(per, Decimal(usd), "2026-11-01", "acme.example") for per, usd in (prices or TOKENS).items())
    info = ModelInfo("acme", "words", operation, price=rows, data=data, inputs={"max_tokens": "limit"})
    job = Job("job", REF, info, operation, inputs)
    return estimate_request(job, ProviderRequest(REF, operation, body, (), units or {}))


def asked(text: str = "lava", **body: object) -> tuple[TextInputs, dict[str, object]]:
    """A prompt and its request, which limits the answer to 100 tokens."""
    return TextInputs(prompt=text), {"input": text, "max_tokens": 100, **body}


def test_tokens_are_a_range():
    """From one token for eight bytes, all cached, and a word of answer, to a token a byte and the longest answer."""
    text = "é" * 400
    told = cost(*asked(text))
    size = sum(map(len, ("input", "max_tokens", "100"))) + 800
    assert told.low == 100 * Decimal("0.0000002") + Decimal("0.00001")
    assert told.high == (size + OVERHEAD) * Decimal("0.000002") + 100 * Decimal("0.00001")
    assert not told.known


@given(st.text(max_size=200), st.integers(1, 10**6), st.booleans())
def test_a_range_holds_whatever_is_billed(text, longest, cached):
    """At most a token for each byte of what was written, with what a vendor adds, and no longer an answer than allowed."""
    told = cost(TextInputs(prompt=text or "x"), {"input": text or "x", "max_output_tokens": longest})
    taken = len((text or "x").encode())
    billed = taken * Decimal(TOKENS["cached_token" if cached else "input_token"]) + longest * Decimal("0.00001")
    assert 0 < told.low <= told.high
    assert told.low <= billed <= told.high


@pytest.mark.parametrize(
    ("body", "data", "longest"),
    [
        ({"max_tokens": 100}, {"max_output": 9}, 100),
        ({"max_completion_tokens": 20, "max_tokens": 30}, {}, 20),
        ({"limit": 7}, {}, 7),
        ({}, {"max_output": 9}, 9),
        ({"max_tokens": None}, {"max_output": 9}, 9),
    ],
)
def test_the_longest_answer(body, data, longest):
    """As the request limits it, under whatever name its wire or its row has; else as long as the model can."""
    with_answer = cost(TextInputs(prompt="x"), body, **data).high
    without = cost(TextInputs(prompt="x"), {**body, "max_tokens": 0, "limit": None}, {"output_token": 0}).high
    assert with_answer is not None
    assert without is not None
    assert abs(with_answer - without - longest * Decimal("0.00001")) < Decimal("0.0001")


def test_nothing_limits_the_answer():
    """Unknown, and what would help."""
    told = cost(TextInputs(prompt="x"), {"input": "x"})
    assert told == Cost.unknown("nothing says how long the answer may be: max_tokens does")


def test_prices_of_long_inputs_count_where_it_may_be_long():
    """Below the row's edge they do not."""
    short, long = asked("x"), asked("x" * 5000)
    assert cost(*short, prices=LONG, long_context=4000) == cost(*short)
    assert cost(*long, prices=LONG, long_context=4000).high > cost(*long).high
    assert cost(*short, prices=LONG).high > cost(*short).high  # nobody says where long begins


def test_tools_that_the_vendor_runs():
    """So many uses, each adding to the input, as is asked for or thought; one without a price is unknown; ours are free."""
    prices = {**TOKENS, "web_search": "0.01"}
    plain = cost(*asked(), prices=prices)
    assert plain == cost(*asked())
    searching = cost(*asked(tools=[{"type": "web_search_preview"}]), prices=prices)
    assert searching.high > TOOL_CALLS * (Decimal("0.01") + TOKENS_OF_A_TOOL_CALL * Decimal("0.000002"))
    assert searching.low == plain.low
    twice = cost(*asked(tools=[{"type": "web_search"}], max_tool_calls=2), prices=prices)
    assert plain.high < twice.high < searching.high
    assert cost(*asked(web_search_options={}), prices=prices).high > plain.high
    other = cost(*asked(tools=[{"type": "code_interpreter"}]), prices=prices)
    assert other == Cost.unknown("what code_interpreter costs is not on record for this model")
    ours = cost(*asked(tools=[{"type": "function", "name": "f"}]), prices=prices)
    assert ours.high < plain.high + Decimal("0.001")


def test_what_cannot_be_bounded_is_unknown():
    """Files, and another tier of service; each with its reason."""
    file = FileRef("0" * 64, "image/png", 10)
    told = cost(TextInputs(prompt="x", images=(file,)), {"input": [file], "max_tokens": 5})
    assert told == Cost.unknown("how many tokens the files are is not known before the call")
    told = cost(*asked(service_tier="priority"))
    assert told == Cost.unknown("the prices on record are not those of the service tier priority")
    assert cost(*asked(service_tier="default")).high is not None


def test_a_conversation_and_an_embedding():
    """Each message counts; an embedding has no answer and nothing around it."""
    said = Message("user", (TextPart("x" * 80),)), Message("assistant", (TextPart("y" * 80),))
    told = cost(TextInputs(messages=said), {"input": "x" * 80 + "y" * 80, "max_tokens": 1})
    assert told.low == 20 * Decimal("0.0000002") + Decimal("0.00001")
    price = {"input_token": "0.00000002"}
    told = cost(EmbedInputs(texts=("x" * 80,)), {"input": ["x" * 80]}, None, price, Operation.TEXT_EMBED)
    assert told == Cost(10 * Decimal("0.00000002"), 85 * Decimal("0.00000002"))


def test_what_is_counted_is_exact():
    """A unit that the plugin counts is no range; beside tokens it adds to both ends."""
    one = cost(TextInputs(prompt="x"), {}, {"run": 1}, {"run": "0.25"})
    assert one == Cost.exactly("0.25")
    both = cost(*asked(), {"run": 1}, {**TOKENS, "run": "0.25"})
    plain = cost(*asked())
    assert (both.low, both.high) == (plain.low + Decimal("0.25"), plain.high + Decimal("0.25"))


@pytest.mark.parametrize(
    ("operation", "inputs", "prices"),
    [
        (Operation.IMAGE_GENERATE, ImageInputs(prompt="x"), {"input_token": "1", "output_image_token": "1"}),
        (Operation.TEXT_GENERATE, TextInputs(prompt="x"), {"second": "0.001"}),
    ],
)
def test_other_units_are_as_the_plugin_counts_them(operation, inputs, prices):
    """An image's tokens and the seconds of a machine are known to nobody before."""
    told = cost(inputs, {"prompt": "x"}, {}, prices, operation)
    assert told.high is None
    assert told.reason.endswith("is not known before the call")
