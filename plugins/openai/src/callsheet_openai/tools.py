"""Function tools in each wire's own form: the Responses API has them flat, Chat Completions inside of `function`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from callsheet_openai.schemas import why_not_strict

__all__ = ["chat_choice", "chat_tools", "response_choice", "response_tools"]

Tool = Mapping[str, Any]


def response_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """`tools` of the Responses API; `strict` and `parameters` are not optional there."""
    return [_flat(tool) if tool.get("type", "function") == "function" else dict(tool) for tool in tools]


def chat_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """`tools` of Chat Completions."""
    return [_nested(tool) if tool.get("type", "function") == "function" else dict(tool) for tool in tools]


def response_choice(choice: object) -> object:
    """`tool_choice` of the Responses API."""
    function = choice.get("function") if isinstance(choice, Mapping) else None
    return {"type": "function", "name": function.get("name")} if isinstance(function, Mapping) else choice


def chat_choice(choice: object) -> object:
    """`tool_choice` of Chat Completions."""
    if not isinstance(choice, Mapping) or choice.get("type") != "function" or "name" not in choice:
        return choice
    return {"type": "function", "function": {"name": choice["name"]}}


def _flat(tool: Tool) -> dict[str, Any]:
    function = tool.get("function")
    flat = dict(function) if isinstance(function, Mapping) else {k: v for k, v in tool.items() if k != "type"}
    parameters = flat.setdefault("parameters", {"type": "object", "properties": {}, "additionalProperties": False})
    flat.setdefault("strict", not why_not_strict(parameters))
    return {"type": "function", **flat}


def _nested(tool: Tool) -> dict[str, Any]:
    if isinstance(tool.get("function"), Mapping):
        return {"type": "function", **tool}
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}
