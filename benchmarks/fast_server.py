"""A loopback server that costs its client nothing: whole answers, made once, for the two text wires of OpenAI."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable

__all__ = ["CHUNKS", "serve", "whole_answer"]

CHUNKS = 2_000
TEXT = "Lava is rock that has become so hot that it flows like honey. " * 8
USAGE = {"input_tokens": 12, "output_tokens": 100, "total_tokens": 112}
CHAT_USAGE = {"prompt_tokens": 12, "completion_tokens": 100, "total_tokens": 112}


def _message(text: str) -> dict[str, object]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def _response(status: str, text: str = "") -> dict[str, object]:
    more = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {}, "error": None}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5-mini", "status": status, **more}
    return {**head, "output": [_message(text)] if text else [], "usage": USAGE if text else None}


def _completion() -> dict[str, object]:
    choice = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": {"role": "assistant", "content": TEXT}}
    return {**_chat_head("chat.completion"), "choices": [choice], "usage": CHAT_USAGE}


def _chat_head(kind: str) -> dict[str, object]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "gpt-4o-mini"}


def _response_events() -> bytes:
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    deltas = [{"type": "response.output_text.delta", "delta": f" word{n:04d}", **where} for n in range(CHUNKS)]
    text = "".join(str(each["delta"]) for each in deltas)
    events: list[dict[str, object]] = [{"type": "response.created", "response": _response("in_progress")}, *deltas]
    events += [{"type": "response.completed", "response": _response("completed", text)}]
    numbered = [{**event, "sequence_number": n} for n, event in enumerate(events)]
    return b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in numbered)


def _chat_events() -> bytes:
    def chunk(delta: dict[str, object], finish: str | None = None) -> dict[str, object]:
        return {
            **_chat_head("chat.completion.chunk"),
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}],
        }

    events = [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": f" word{n:04d}"}) for n in range(CHUNKS)),
    ]
    events += [chunk({}, "stop"), {**_chat_head("chat.completion.chunk"), "choices": [], "usage": CHAT_USAGE}]
    return b"".join(f"data: {json.dumps(e)}\n\n".encode() for e in events) + b"data: [DONE]\n\n"


def whole_answer(body: bytes, media_type: str = "application/json") -> bytes:
    """A reply as it goes over the wire."""
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {len(body)}\r\nx-request-id: req_1\r\n\r\n"
    )
    return head.encode() + body


ANSWERS = {
    (b"/v1/responses", False): whole_answer(json.dumps(_response("completed", TEXT)).encode()),
    (b"/v1/responses", True): whole_answer(_response_events(), "text/event-stream"),
    (b"/v1/chat/completions", False): whole_answer(json.dumps(_completion()).encode()),
    (b"/v1/chat/completions", True): whole_answer(_chat_events(), "text/event-stream"),
}


def _told(method: bytes, path: bytes, body: bytes) -> bytes:  # noqa: ARG001
    return ANSWERS[path, b'"stream":true' in body.replace(b" ", b"")]


class _Connection(asyncio.Protocol):
    def __init__(self, answer: Callable[[bytes, bytes, bytes], bytes]) -> None:
        self._answer = answer
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end]
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._data) < end + 4 + length:
                return
            body, self._data = self._data[end + 4 : end + 4 + length], self._data[end + 4 + length :]
            method, path, _ = head.split(b" ", 2)
            assert self._transport is not None
            self._transport.write(self._answer(method, path, body))


async def serve(answer: Callable[[bytes, bytes, bytes], bytes]) -> None:
    """Listen on a free port and print it; answer by method, path and body; end with stdin.

    Never sleeps: to wake a process on an idle processor is dear on a virtual machine, and whoever sends is charged for it.
    """
    loop = asyncio.get_running_loop()

    def spin() -> None:
        loop.call_soon(spin)

    spin()
    server = await loop.create_server(lambda: _Connection(answer), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(_told))
