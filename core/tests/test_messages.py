"""Messages and their parts."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from callsheet.artifacts import FileRef
from callsheet.digests import json_ready
from callsheet.messages import FilePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart

PARTS = (
    TextPart("hi"),
    FilePart(FileRef("ab", "image/png", 1)),
    ReasoningPart("hm", "signed"),
    ToolCallPart("1", "search", {"q": "lava"}),
    ToolResultPart("1", "hot"),
)


def test_each_part_says_its_kind() -> None:
    """The kinds are distinct words, so that stored messages can be told apart."""
    assert [part.kind for part in PARTS] == ["text", "file", "reasoning", "tool_call", "tool_result"]


def test_messages_are_values() -> None:
    """A message cannot change after it was made, and equals one that says the same."""
    message = Message("user", PARTS)
    assert message == Message("user", PARTS)
    with pytest.raises(FrozenInstanceError):
        message.role = "system"  # type: ignore[misc]


def test_as_json_files_stand_by_content() -> None:
    """In a digest a file part is its content, and the other parts are their fields."""
    data = json_ready(Message("assistant", PARTS))
    assert isinstance(data, dict)
    assert data["parts"][1] == {"file": "callsheet-file:ab", "kind": "file"}
    assert data["parts"][3] == {"id": "1", "name": "search", "arguments": {"q": "lava"}, "kind": "tool_call"}
