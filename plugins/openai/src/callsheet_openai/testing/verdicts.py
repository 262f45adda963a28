"""What is found in texts: vectors, and what is wrong with them."""

from __future__ import annotations

import base64
import hashlib
import json
import struct

from callsheet.testing import Exchange
from callsheet_openai.testing.answers import Json

__all__ = ["embeddings", "moderations"]

_TEXT = ("hate", "hate/threatening", "harassment", "harassment/threatening", "illicit", "illicit/violent")
_MINORS = "sexual/minors"
_PICTURES = ("self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "violence", "violence/graphic")
"""Categories that pictures are judged by, too."""


def embeddings(request: Exchange) -> Json:
    """A vector of length 1 for each text, told apart by its words; the size as asked, else the model's own."""
    asked = request.data
    whole = asked["input"]
    texts = whole if isinstance(whole, list) and not isinstance(whole[0], int) else [whole]
    size = asked.get("dimensions") or (3072 if "large" in asked["model"] else 1536)
    data: list[Json] = []
    for index, text in enumerate(texts):
        raw = [byte - 127.5 for byte in hashlib.shake_256(str(text).encode()).digest(size)]
        length = sum(each * each for each in raw) ** 0.5
        packed = struct.pack(f"<{size}f", *(each / length for each in raw))
        wordy = asked.get("encoding_format") != "base64"
        vector = list(struct.unpack(f"<{size}f", packed)) if wordy else base64.b64encode(packed).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = sum(max(1, len(text) // 4 if isinstance(text, str) else len(text)) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": asked["model"], "usage": usage}


def moderations(request: Exchange) -> Json:
    """A verdict for each text, or one for the parts of a message together: violence, where someone is to `kill`."""
    asked = request.data["input"]
    parts = asked if isinstance(asked, list) and isinstance(asked[0], dict) else None
    kinds = {part["type"].removesuffix("_url") for part in parts} if parts else {"text"}
    results: list[Json] = []
    for text in [asked] if parts is not None or isinstance(asked, str) else asked:
        bad = "kill" in json.dumps(text)
        hit = {name: bad and name == "violence" for name in (*_TEXT, _MINORS, *_PICTURES)}
        applied = {name: sorted(kinds if name in _PICTURES else kinds & {"text"}) for name in hit}
        scores = {name: 0.9 if hit[name] else 0.001 for name in hit}
        judged = {"flagged": bad, "categories": hit, "category_scores": scores}
        results.append({**judged, "category_applied_input_types": applied})
    return {"id": "modr_1", "model": request.data.get("model", "omni-moderation-latest"), "results": results}
