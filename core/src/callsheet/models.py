"""What is called: model references, operations and catalog rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from callsheet.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from callsheet.money import PriceRow

__all__ = ["ENVIRONMENTS", "Mode", "ModelInfo", "ModelRef", "Operation"]

ENVIRONMENTS = ("local", "cloud")


class Operation(StrEnum):
    """What a model does; the first word is the medium it makes or reads."""

    TEXT_GENERATE = "text.generate"
    IMAGE_GENERATE = "image.generate"
    VIDEO_GENERATE = "video.generate"
    SPEECH_GENERATE = "speech.generate"
    MUSIC_GENERATE = "music.generate"
    SOUND_GENERATE = "sound.generate"
    AUDIO_TRANSCRIBE = "audio.transcribe"
    TEXT_EMBED = "text.embed"
    TEXT_MODERATE = "text.moderate"
    VIDEO_ASSEMBLE = "video.assemble"

    @property
    def cheap(self) -> bool:
        """True for what costs so little that a second try by itself is no harm."""
        return self in (Operation.TEXT_GENERATE, Operation.TEXT_EMBED, Operation.TEXT_MODERATE)


class Mode(StrEnum):
    """Who performs a call: the provider, or the mock provider in its place."""

    LIVE = "live"
    MOCK = "mock"


@dataclass(frozen=True, slots=True, order=True)
class ModelRef:
    """`provider:model[@environment]`: the first colon splits, so `replicate:owner/name:version` keeps its version.

    Only `@local` and `@cloud` at the very end are an environment; any other `@` belongs to the model's name.
    """

    provider: str
    model: str
    environment: str = "local"

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Read a reference. Raises ConfigError when it has no provider or no model."""
        provider, colon, model = text.strip().partition(":")
        head, at, tail = model.rpartition("@")
        environment = "local"
        if at and tail in ENVIRONMENTS:
            model, environment = head, tail
        if not (colon and provider and model) or " " in (name := provider + model) or not name.isprintable():
            raise ConfigError(f"{text!r} is not a model reference: write provider:model, for example mock:image")
        return cls(provider, model, environment)

    def __str__(self) -> str:
        if self.environment == "local" and "@" not in self.model:
            return f"{self.provider}:{self.model}"
        ambiguous = self.model.rpartition("@")[1:] in {("@", name) for name in ENVIRONMENTS}
        tail = f"@{self.environment}" if ambiguous or self.environment != "local" else ""
        return f"{self.provider}:{self.model}{tail}"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A catalog row: what one model of one provider can do, as its plugin's manifest says.

    `inputs` maps general attributes to the vendor's fields; `wire` names the plugin's handler for it; `data` holds
    what only the plugin itself reads (constraints, profiles), but for what estimates need. `schema` is a path inside `folder`: the plugin's package,
    or the folder of the file in which a row of one's own stands; `digest` (`sha256:…`) pins that file, if it is given.
    """

    provider: str
    model: str
    operation: Operation
    wire: str = ""
    title: str = ""
    aliases: tuple[str, ...] = ()
    capabilities: frozenset[str] = frozenset()
    inputs: Mapping[str, str] = field(default_factory=dict)
    output: str = ""
    schema: str = ""
    digest: str = ""
    revision: str = ""
    price: tuple[PriceRow, ...] = ()
    tier: str = "community"
    deprecated: str = ""
    plugin: str = ""
    data: Mapping[str, object] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def name(self) -> str:
        """`provider:model`, as a sheet writes it."""
        return f"{self.provider}:{self.model}"
