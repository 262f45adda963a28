"""A prediction's text while it is made: server-sent events at a URL that the vendor gives with the prediction.

Source: the vendor's OpenAPI document (`urls.stream`), and its page "Streaming output": `output` has a piece of the text, `error`
and `done` are the ends.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from callsheet.plugin import JobContext, Sent, TextDelta
from callsheet_replicate.api import headers
from callsheet_replicate.errors import malformed

__all__ = ["text_deltas"]


async def text_deltas(prediction: Mapping[str, Any], context: JobContext) -> AsyncGenerator[TextDelta, None]:
    """The pieces; none when the model does not stream. How it ended, and whether the text is whole, the prediction says.

    Raises MalformedOutputError for a stream without its last event, and what the guarded transfer raises.
    """
    urls = prediction.get("urls")
    url = urls.get("stream") if isinstance(urls, Mapping) else None
    if not isinstance(url, str):
        return
    async with aclosing(context.transfer.events(url, headers=await headers(context))) as events:
        async for event in events:
            if event.event == "output" and event.data:
                yield TextDelta(event.data)
            elif event.event in ("done", "error"):
                return
    raise malformed("ended its stream without its last event", context, sent=Sent.UNKNOWN)
