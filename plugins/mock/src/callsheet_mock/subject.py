"""What a mocked output shows: everything that its bytes depend on, small enough to travel in a receipt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from callsheet.plugin import JobContext, SpeechInputs
from callsheet_mock.content.prose import speech_seconds
from callsheet_mock.content.seeds import Seed
from callsheet_mock.mapping import spoken_text

__all__ = ["Subject"]

CAPTION_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Subject:
    """Model, request, sample, the first words of the prompt, and how many seconds its text takes to speak."""

    ref: str
    request_digest: str
    sample: int
    caption: str
    speech: float

    @classmethod
    def of(cls, context: JobContext) -> Subject:
        """The subject of one call."""
        inputs = context.job.inputs
        text = spoken_text(inputs)
        speed = inputs.speed if isinstance(inputs, SpeechInputs) and inputs.speed else 1.0
        caption = " ".join(text.split())[:CAPTION_CHARACTERS]
        digest = context.request_digest
        return cls(str(context.job.ref), digest, context.sample, caption, speech_seconds(text, speed))

    @classmethod
    def from_state(cls, state: Mapping[str, object]) -> Subject:
        """The subject that `to_state` wrote into a receipt."""
        return cls(
            str(state["ref"]),
            str(state["digest"]),
            int(str(state["sample"])),
            str(state["caption"]),
            float(str(state["speech"])),
        )

    def to_state(self) -> dict[str, object]:
        """As JSON for a receipt."""
        return {
            "ref": self.ref,
            "digest": self.request_digest,
            "sample": self.sample,
            "caption": self.caption,
            "speech": self.speech,
        }

    def seed(self, number: int) -> Seed:
        """The seed of the output with this number."""
        material = f"{self.ref}\n{self.request_digest}\n{self.sample}\n{number}"
        return Seed(hashlib.sha256(material.encode()).digest())

    def lines(self, number: int) -> list[str]:
        """The readable text of a picture or a clip."""
        take = f"sample {self.sample}" + (f", output {number}" if number else "")
        return ["MOCK", self.ref, self.caption, take]
