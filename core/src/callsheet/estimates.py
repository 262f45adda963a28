"""What a call will cost, as far as its request tells: one figure, a range, or unknown with the reason.

Tokens are not counted before a call but bounded, by the bytes of the request and the limit of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from callsheet.batching import files_in
from callsheet.inputs import EmbedInputs, Inputs, TextInputs
from callsheet.jobs import Job, ProviderRequest
from callsheet.messages import TextPart
from callsheet.models import Operation
from callsheet.money import Cost, PriceRow, estimate, total

__all__ = ["estimate_request", "least_tokens"]

BYTES_OF_A_TOKEN = 8
"""No text has more to a token on the average; and none has less than one byte, whatever the tokenizer."""
OVERHEAD = 1000
"""Tokens that a vendor may put around a conversation: roles, the description of a tool that it runs itself."""
TOOL_CALLS = 10
"""How often a model is thought to use the tools that its vendor runs, where `max_tool_calls` says nothing."""
TOKENS_OF_A_TOOL_CALL = 10_000
"""What one such use is thought to add to the input."""

_LIMITS = ("max_output_tokens", "max_completion_tokens", "max_tokens")
_OUR_TOOLS = ("function", "custom")
"""Types of tools that the caller runs: they cost nothing by themselves."""


def estimate_request(job: Job, request: ProviderRequest) -> Cost:
    """The cost of a request that is about to be sent, by the prices of the job's model."""
    rows, units = job.model.price, request.units
    cost = estimate(rows, units)
    tokens = [row for row in rows if row.per.endswith("token") and row.per not in units]
    if cost.known or not tokens or not isinstance(job.inputs, (TextInputs, EmbedInputs)):
        return cost
    others = [row for row in rows if row.per in units]
    uses = [row for row in rows if row not in tokens and row not in others]
    try:
        calls = _tool_calls(request.body, uses)
        low, high = _tokens(job, request, tokens, calls)
    except _UncountableError as error:
        return Cost.unknown(str(error))
    used = Cost(low, high + calls * sum((row.usd for row in uses), Decimal(0)))
    return total([used, estimate(others, units)]) if others else used


def least_tokens(request: ProviderRequest) -> int:
    """How many tokens the text of a request has at least; files are not counted."""
    return _bytes({key: value for key, value in request.body.items() if key != "model"}) // BYTES_OF_A_TOKEN


class _UncountableError(Exception):
    """Why there is not even a range."""


def _tokens(job: Job, request: ProviderRequest, rows: Sequence[PriceRow], calls: int) -> tuple[Decimal, Decimal]:
    """The least and the most that the tokens of a request and its answer cost."""
    if any(True for _ in files_in(request.body)):
        raise _UncountableError("how many tokens the files are is not known before the call")
    tier = request.body.get("service_tier")
    if tier not in (None, "auto", "default"):
        raise _UncountableError(f"the prices on record are not those of the service tier {tier}")
    least = max(sum(map(_bytes, _texts(job.inputs))) // BYTES_OF_A_TOKEN, 1)
    around = OVERHEAD if job.operation is Operation.TEXT_GENERATE else 0
    most = (calls + 1) * (_bytes(request.body) + around) + calls * TOKENS_OF_A_TOOL_CALL
    edge = job.model.data.get("long_context")
    may_be_long = not isinstance(edge, int) or most > edge
    rows = [row for row in rows if may_be_long or not row.per.startswith("long_")]
    made = [row.usd for row in rows if "output" in row.per]
    given = [row.usd for row in rows if "output" not in row.per and "audio" not in row.per and "image" not in row.per]
    low, high = least * min(given, default=Decimal(0)), most * max(given, default=Decimal(0))
    if made:
        low, high = low + min(made), high + _longest_answer(job, request) * max(made)
    return low, high


def _longest_answer(job: Job, request: ProviderRequest) -> int:
    """In tokens: as the request limits it, else as the model does."""
    named = (*_LIMITS, job.model.inputs.get("max_tokens", ""))
    asked = [value for name in named if isinstance(value := request.body.get(name), int) and value > 0]
    longest = min(asked, default=job.model.data.get("max_output"))
    if not isinstance(longest, int):
        raise _UncountableError("nothing says how long the answer may be: max_tokens does")
    return longest


def _tool_calls(body: Mapping[str, object], uses: Sequence[PriceRow]) -> int:
    """How often tools may be used that are paid for by use."""
    tools = body.get("tools")
    kinds = [str(tool.get("type")) for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    paid = [kind for kind in kinds if kind not in _OUR_TOOLS]
    for kind in paid:
        if not any(kind.startswith(row.per) for row in uses):
            raise _UncountableError(f"what {kind} costs is not on record for this model")
    if not paid and not any(field.startswith(row.per) for field in body for row in uses):
        return 0
    most = body.get("max_tool_calls")
    return most if isinstance(most, int) and most >= 0 else TOOL_CALLS


def _texts(inputs: Inputs) -> Iterable[str]:
    if isinstance(inputs, TextInputs):
        said = (part.text for turn in inputs.messages for part in turn.parts if isinstance(part, TextPart))
        return [inputs.prompt or "", inputs.system or "", *said]
    return [inputs.text or "", *inputs.texts] if isinstance(inputs, EmbedInputs) else []


def _bytes(value: object) -> int:
    """Bytes of all text in a value, names of fields included."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, Mapping):
        return sum(_bytes(key) + _bytes(each) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return sum(map(_bytes, value))
    return len(str(value))
