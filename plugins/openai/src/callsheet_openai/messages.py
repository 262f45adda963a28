"""A conversation in each wire's own form: written for one, sent over the other."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from callsheet.plugin import (
    FilePart,
    FileRef,
    Message,
    Part,
    ReasoningPart,
    TextInputs,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    check_attachment,
)
from callsheet_openai.draft import OpenAIDraft

__all__ = ["chat_messages", "conversation", "response_items"]

IMAGES = ("image/png", "image/jpeg", "image/webp", "image/gif")
SOUNDS = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav"}
MOST_BYTES = 50 << 20
"""Of one input file (the vendor's PDF guide: 50 MB a file and a request)."""

Item = dict[str, Any]


def conversation(draft: OpenAIDraft, inputs: TextInputs) -> list[Message]:
    """The history, and the prompt with its files as the user's last turn."""
    parts: list[Part] = [TextPart(inputs.prompt)] if inputs.prompt else []
    sound = (inputs.audio,) if inputs.audio is not None else ()
    parts += (FilePart(file) for file in (*inputs.images, *inputs.files, *sound))
    turns = [*inputs.messages, *([Message("user", tuple(parts))] if parts else [])]
    _check_files((part.file for turn in turns for part in turn.parts if isinstance(part, FilePart)), draft)
    return turns


def response_items(messages: Iterable[Message], draft: OpenAIDraft) -> list[Item]:
    """`input` of the Responses API."""
    items: list[Item] = []
    for message in messages:
        content: list[Item] = []
        for part in message.parts:
            match part:
                case TextPart(text=text):
                    content.append({"type": "input_text", "text": text})
                    continue
                case FilePart(file=file):
                    if not _kept_back(message, draft):
                        content.append(_input_file(file, draft))
                    continue
                case ReasoningPart():
                    item = _reasoning(part)
                case ToolCallPart():
                    item = {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": _json(part)}
                case ToolResultPart():
                    item = {"type": "function_call_output", "call_id": part.id, "output": _output(part)}
            if item is not None:
                items += _turn(message, content)
                items.append(item)
                content = []
        items += _turn(message, content)
    return items


def chat_messages(messages: Iterable[Message], draft: OpenAIDraft) -> list[Item]:
    """`messages` of Chat Completions. What other turns thought has no place there."""
    turns: list[Item] = []
    for message in messages:
        content: list[Item] = []
        calls: list[Item] = []
        for part in message.parts:
            match part:
                case TextPart(text=text):
                    content.append({"type": "text", "text": text})
                case FilePart(file=file):
                    if not _kept_back(message, draft):
                        content.append(_content_file(file, draft))
                case ReasoningPart():
                    if part.opaque:
                        draft.unsupported(
                            "messages", "Chat Completions has no place for the reasoning of earlier turns"
                        )
                case ToolCallPart():
                    function = {"name": part.name, "arguments": _json(part)}
                    calls.append({"id": part.id, "type": "function", "function": function})
                case ToolResultPart():
                    turns.append({"role": "tool", "tool_call_id": part.id, "content": _output(part)})
        if content or calls:
            turns.append(_chat_turn(message, content, calls))
    return turns


def _turn(message: Message, content: list[Item]) -> list[Item]:
    """What was said so far; one text alone is a plain string, and so is all that the assistant said."""
    if not content:
        return []
    role = "user" if message.role == "tool" else message.role
    plain = role == "assistant" or (len(content) == 1 and "text" in content[0])
    return [{"role": role, "content": _joined(content) if plain else content}]


def _chat_turn(message: Message, content: list[Item], calls: list[Item]) -> Item:
    role = "user" if message.role == "tool" else message.role
    if role != "user":
        turn: Item = {"role": role, "content": _joined(content) if content else None}
        return {**turn, "tool_calls": calls} if calls else turn
    return {"role": role, "content": content[0]["text"] if len(content) == 1 and "text" in content[0] else content}


def _joined(content: list[Item]) -> str:
    return "".join(str(each["text"]) for each in content)


def _kept_back(message: Message, draft: OpenAIDraft) -> bool:
    """True for a file in a turn that only holds text: the vendor takes files of the user alone."""
    if message.role in ("user", "tool"):
        return False
    draft.unsupported("messages", f"a file in the {message.role}'s turn was left out")
    return True


def _reasoning(part: ReasoningPart) -> Item | None:
    """The item as it came; None for what another provider's model thought."""
    try:
        item = json.loads(part.opaque) if part.opaque else None
    except ValueError:
        return None
    return item if isinstance(item, dict) and item.get("type") == "reasoning" else None


def _input_file(file: FileRef, draft: OpenAIDraft) -> Item:
    if file.media_type.startswith("image/"):
        return {"type": "input_image", "image_url": file, "detail": "auto"}
    if file.media_type.startswith(("audio/", "video/")):
        check_attachment(file, ref=draft.ref, media_types=(*IMAGES, "application/*", "text/*"))
    return {"type": "input_file", "filename": _name(file), "file_data": file}


def _content_file(file: FileRef, draft: OpenAIDraft) -> Item:
    if file.media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": file}}
    if file.media_type in SOUNDS:
        return {"type": "input_audio", "input_audio": {"data": file, "format": SOUNDS[file.media_type]}}
    check_attachment(file, ref=draft.ref, media_types=(*IMAGES, *SOUNDS, "application/pdf"))
    return {"type": "file", "file": {"filename": _name(file), "file_data": file}}


def _check_files(files: Iterable[FileRef], draft: OpenAIDraft) -> None:
    """Refuse what the model cannot read: a question about a picture without the picture is money for nothing."""
    taken = draft.names("reads")
    for file in files:
        if file.media_type.startswith("image/"):
            check_attachment(file, ref=draft.ref, media_types=IMAGES)
        check_attachment(file, ref=draft.ref, media_types=taken, max_bytes=MOST_BYTES)


def _json(part: ToolCallPart) -> str:
    return json.dumps(part.arguments, ensure_ascii=False, separators=(",", ":"))


def _output(part: ToolResultPart) -> str:
    return f"error: {part.content}" if part.failed else part.content


def _name(file: FileRef) -> str:
    return file.name or file.sha256[:12]
