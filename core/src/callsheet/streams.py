"""The typed events of a stream; a stream is complete only with its `finished` event."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from callsheet.jobs import JobResult, Usage
from callsheet.models import ModelRef

__all__ = [
    "ImageDelta",
    "ReasoningDelta",
    "StreamEvent",
    "StreamFinished",
    "StreamRestarted",
    "StreamUsage",
    "TextDelta",
    "ToolCallDelta",
]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text."""

    text: str
    type: Literal["text.delta"] = "text.delta"


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the reasoning or of its summary."""

    text: str
    type: Literal["reasoning.delta"] = "reasoning.delta"


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a tool call's JSON arguments, as text; `id` and `name` repeat in each."""

    id: str
    name: str
    arguments: str
    type: Literal["tool_call.delta"] = "tool_call.delta"


@dataclass(frozen=True, slots=True)
class ImageDelta:
    """An earlier state of an image that is still being made: the whole file, not a part of it; `index` counts from 0."""

    data: bytes = field(repr=False)
    media_type: str
    index: int = 0
    type: Literal["image.delta"] = "image.delta"


@dataclass(frozen=True, slots=True)
class StreamUsage:
    """Token counts so far."""

    usage: Usage
    type: Literal["usage"] = "usage"


@dataclass(frozen=True, slots=True)
class StreamFinished:
    """The last event of every stream that is complete."""

    result: JobResult
    type: Literal["finished"] = "finished"


@dataclass(frozen=True, slots=True)
class StreamRestarted:
    """What came until now was broken off: the answer begins anew, by this model. Only for readers who asked for it."""

    ref: ModelRef
    type: Literal["restarted"] = "restarted"


StreamEvent = TextDelta | ReasoningDelta | ToolCallDelta | ImageDelta | StreamUsage | StreamFinished | StreamRestarted
