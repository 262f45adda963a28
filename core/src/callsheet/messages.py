"""Conversations: messages made of parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from callsheet.artifacts import FileRef

__all__ = [
    "FilePart",
    "Message",
    "Part",
    "ReasoningPart",
    "TextPart",
    "ToolCallPart",
    "ToolResultPart",
]


@dataclass(frozen=True, slots=True)
class TextPart:
    """Plain text."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class FilePart:
    """An image, a sound or a document; its media type says which."""

    file: FileRef
    kind: Literal["file"] = "file"


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """What the model thought. `opaque` is the provider's own (signed or encrypted) form and goes back as it came."""

    text: str
    opaque: str = ""
    kind: Literal["reasoning"] = "reasoning"


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """The model asks for a tool; `arguments` is the parsed JSON object."""

    id: str
    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    kind: Literal["tool_call"] = "tool_call"


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """What a tool answered to the call `id`."""

    id: str
    content: str
    failed: bool = False
    kind: Literal["tool_result"] = "tool_result"


Part = TextPart | FilePart | ReasoningPart | ToolCallPart | ToolResultPart


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    parts: tuple[Part, ...]
