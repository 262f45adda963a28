"""What a mocked output shows: everything that its bytes depend on, small enough to travel in a receipt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from callsheet.plugin import JobContext, Receipt
from callsheet_mock.content.seeds import Seed
from callsheet_mock.promises import spoken_text

__all__ = ["Subject"]

CAPTION_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Subject:
    """Model, request, sample, and the first words of the prompt."""

    ref: str
    request_digest: str
    sample: int
    caption: str

    @classmethod
    def of(cls, context: JobContext) -> Subject:
        """The subject of one call."""
        caption = " ".join(spoken_text(context.job.inputs).split())[:CAPTION_CHARACTERS]
        return cls(str(context.job.ref), context.request_digest, context.sample, caption)

    @classmethod
    def of_receipt(cls, receipt: Receipt) -> Subject:
        """The subject of the job that a receipt is for. Raises KeyError or ValueError for a state of others."""
        caption = str(receipt.state["caption"])[:CAPTION_CHARACTERS]
        return cls(str(receipt.ref), receipt.request_digest, int(str(receipt.state["sample"])), caption)

    def to_state(self) -> Mapping[str, object]:
        """What a receipt has to carry beside its own fields, as JSON."""
        return {"sample": self.sample, "caption": self.caption}

    def seed(self, number: int) -> Seed:
        """The seed of the output with this number."""
        material = f"{self.ref}\n{self.request_digest}\n{self.sample}\n{number}"
        return Seed(hashlib.sha256(material.encode()).digest())

    def lines(self, number: int) -> list[str]:
        """The readable text of a picture or a clip."""
        take = f"sample {self.sample}" + (f", output {number}" if number else "")
        return ["MOCK", self.ref, self.caption, take]
