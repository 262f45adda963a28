"""A loopback server of Replicate's predictions: each is done so many seconds after it was created; it counts the polls."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from benchmarks.fast_server import serve, whole_answer

__all__ = ["Predictions"]

CREATED = "2026-11-21T10:00:00.000000Z"


class Predictions:
    """`lasting` is in seconds; with 0 a prediction is done when it is asked for the first time."""

    def __init__(self, lasting: float) -> None:
        self._lasting = lasting
        self._ends: list[float] = []
        self._polls = 0

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:
        """The reply to one request; `GET /v1/polls` tells how many there were."""
        if path == b"/v1/polls":
            return whole_answer(str(self._polls).encode())
        if method == b"POST":
            self._ends.append(time.monotonic() + self._lasting)
            return whole_answer(self._prediction(len(self._ends) - 1, "starting", json.loads(body)["input"]))
        self._polls += 1
        number = int(path.rpartition(b"/")[2])
        done = time.monotonic() >= self._ends[number]
        return whole_answer(self._prediction(number, "succeeded" if done else "processing", {"prompt": "lava"}))

    def _prediction(self, number: int, status: str, asked: object) -> bytes:
        key = f"{number:026}"
        url = f"https://api.replicate.com/v1/predictions/{key}"
        done = status == "succeeded"
        shown = {
            "id": key,
            "model": "google/gemini-2.5-flash",
            "version": "hidden",
            "input": asked,
            "logs": "" if status == "starting" else "Running prediction...\n" * 10,
            "output": ["Lava is rock that ", "flows like honey. "] * 10 if done else None,
            "data_removed": False,
            "error": None,
            "source": "api",
            "status": status,
            "created_at": CREATED,
            "started_at": CREATED,
            "urls": {"cancel": f"{url}/cancel", "get": url, "web": f"https://replicate.com/p/{key}"},
            "metrics": {"predict_time": 2.5, "input_token_count": 10, "output_token_count": 100} if done else {},
        }
        return json.dumps(shown).encode()


if __name__ == "__main__":
    asyncio.run(serve(Predictions(float(sys.argv[1])).answer))
