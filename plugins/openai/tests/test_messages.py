"""A conversation in the form of each wire."""

from __future__ import annotations

import json

from openai_counterpart.stage import file
from openai_counterpart.text_stage import prepared, warned

from callsheet.plugin import FilePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart

PICTURE = file("image/png", name="a.png")
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
HISTORY = (
    Message("system", (TextPart("Be brief."),)),
    Message("user", (TextPart("What is "), TextPart("this?"), FilePart(PICTURE))),
    Message(
        "assistant",
        (
            ReasoningPart("Hm.", json.dumps(THOUGHT)),
            TextPart("I look."),
            ToolCallPart("call_1", "look", {"at": "ö"}),
            ToolCallPart("call_2", "smell"),
        ),
    ),
    Message("tool", (ToolResultPart("call_1", "a stone"), ToolResultPart("call_2", "no nose", failed=True))),
    Message("assistant", (TextPart("A stone."),)),
)


def test_responses():
    """Every part is an item in its own order; what the model thought goes back as it came."""
    assert prepared("responses", messages=HISTORY, prompt="Sure?").body["input"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is "},
                {"type": "input_text", "text": "this?"},
                {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
            ],
        },
        THOUGHT,
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at":"ö"}'},
        {"type": "function_call", "call_id": "call_2", "name": "smell", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "a stone"},
        {"type": "function_call_output", "call_id": "call_2", "output": "error: no nose"},
        {"role": "assistant", "content": "A stone."},
        {"role": "user", "content": "Sure?"},
    ]


def test_chat():
    """Calls stand in the assistant's turn, each result is a turn; the reasoning has no place, and a warning says so."""
    request = prepared("chat", messages=HISTORY)
    assert request.body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is "},
                {"type": "text", "text": "this?"},
                {"type": "image_url", "image_url": {"url": PICTURE}},
            ],
        },
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"ö"}'}},
                {"id": "call_2", "type": "function", "function": {"name": "smell", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "a stone"},
        {"role": "tool", "tool_call_id": "call_2", "content": "error: no nose"},
        {"role": "assistant", "content": "A stone."},
    ]
    assert warned(request) == [("unsupported", "messages")]


def test_thoughts_of_others():
    """What another provider's model thought is not for this one."""
    thoughts = (ReasoningPart("Hm."), ReasoningPart("", "c2lnbmVk"), ReasoningPart("", '{"type": "thinking"}'))
    history = (Message("user", (TextPart("Hi"),)), Message("assistant", (*thoughts, TextPart("Hello"))))
    assert prepared("responses", messages=history).body["input"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]


def test_files_of_the_assistant():
    """A picture that the assistant made cannot be in its turn: it is left out with a warning."""
    history = (Message("assistant", (TextPart("Here: "), FilePart(PICTURE))),)
    for wire, field in (("responses", "input"), ("chat", "messages")):
        request = prepared(wire, messages=history, prompt="Nice")
        assert request.body[field][0] == {"role": "assistant", "content": "Here: "}
        assert warned(request) == [("unsupported", "messages")]
