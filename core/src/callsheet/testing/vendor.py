"""The vendor of the conformance checks: it answers every request as it was told to."""

from __future__ import annotations

from callsheet.testing.exchange import Exchange, Fault, Reply
from callsheet.testing.server import LoopbackServer

__all__ = ["SCRIPTED", "Vendor"]

SCRIPTED = b'{"error": {"message": "scripted by the conformance checks"}}'
"""The body of every answer that has none of its own."""


class Vendor(LoopbackServer):
    """`journal` has what was asked since the last `expect`."""

    def __init__(self) -> None:
        super().__init__()
        self._reply = Reply()

    def expect(self, reply: Reply, fault: Fault | None = None) -> None:
        """Answer so from now on (the next request with this fault), and forget what was asked before."""
        self._reply = reply
        self._faults = [("", fault)] if fault is not None else []
        self.journal.clear()

    def answer(self, request: Exchange) -> Reply:  # noqa: ARG002 - whatever it is
        """The one answer."""
        return self._reply
