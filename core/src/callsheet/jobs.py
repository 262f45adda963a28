"""One call as data: the job, what is sent for it, what comes back, and the receipt that resumes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from callsheet.artifacts import Artifact
from callsheet.inputs import Inputs
from callsheet.messages import Part
from callsheet.models import ModelInfo, ModelRef, Operation
from callsheet.money import Cost

__all__ = [
    "AbortOutcome",
    "Attempt",
    "AttemptOutcome",
    "CallWarning",
    "Expected",
    "Job",
    "JobResult",
    "ProviderRequest",
    "Receipt",
    "RemoteState",
    "RemoteStatus",
    "Usage",
    "WarningKind",
]


@dataclass(frozen=True, slots=True)
class Job:
    """The data of one call to one model.

    `id` is `producer` or `producer[index]`; `inputs` are the general attributes with files as FileRef; `options` go to
    the model as they are; `model` is the catalog row (a bare one for a model not in a catalog).
    """

    id: str
    ref: ModelRef
    model: ModelInfo
    operation: Operation
    inputs: Inputs
    options: Mapping[str, object] = field(default_factory=dict)
    producer: str = ""
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What one output of a call will be: the mock makes it, the result is checked against it, the report shows it.

    Sizes in pixels, `duration` in seconds, `fps` in frames a second; None where the provider decides.
    """

    kind: Literal["text", "json", "blob"]
    media_type: str
    count: int = 1
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    fps: int | None = None
    audio: bool | None = None
    schema: Mapping[str, object] | None = None


class WarningKind(StrEnum):
    """Why a wish was not met as it was written."""

    UNSUPPORTED = "unsupported"
    ADJUSTED = "adjusted"
    EMULATED = "emulated"
    DEPRECATED = "deprecated"
    UNCHECKED = "unchecked"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class CallWarning:
    """A wish the model could not take as it was written; an error under `--strict`. `attribute` may be empty."""

    kind: WarningKind
    message: str
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """What will be sent, as plain data.

    `body` is JSON, but an input file is a leaf FileRef. `units` (amount per unit name: `image`, `second`, `character`,
    `run`, …) feed the price. `warnings` say which wishes the mapping could not meet.
    """

    ref: ModelRef
    operation: Operation
    body: Mapping[str, object]
    expects: tuple[Expected, ...]
    units: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[CallWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """All that is needed to poll, collect or abort a remote job from another process. Holds no secret and no URL.

    `job_id` is the provider's; `created` and `expires` are seconds since the epoch; `state` is small JSON of the
    plugin's own (at most 4 KiB encoded). The core fills in `origin`, the provider's name (`mock` for a mocked call), and
    `account`, a fingerprint of the key that it was made with.
    """

    ref: ModelRef
    operation: Operation
    job_id: str
    key: str
    request_digest: str
    expects: tuple[Expected, ...]
    created: float
    expires: float | None = None
    origin: str = ""
    account: str = ""
    state: Mapping[str, object] = field(default_factory=dict)
    version: int = 1


class RemoteState(StrEnum):
    """Where a remote job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class RemoteStatus:
    """A poll's answer. `progress` is 0 to 1; `poll_after` is the provider's wish in seconds; `error` says why it failed.

    `answer` is all that the provider said of a job that succeeded: the collect that follows has it in its context.
    """

    state: RemoteState
    progress: float | None = None
    poll_after: float | None = None
    error: str = ""
    answer: object = field(default=None, repr=False)

    @property
    def terminal(self) -> bool:
        """True when the job will not change any more."""
        return self.state not in (RemoteState.QUEUED, RemoteState.RUNNING)


class AbortOutcome(StrEnum):
    """What an abort reached."""

    STOPPED = "stopped"
    ALREADY_FINISHED = "already_finished"
    CLIENT_SIDE_ONLY = "client_side_only"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used up: tokens by class, and `units` as the provider counted them."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    units: Mapping[str, float] = field(default_factory=dict)


Finish = Literal["stop", "length", "content_filter", "refusal", "tool_calls"]


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a call gave. `meta` is the provider's own metadata as JSON (`mocked` is True for the mock's results).

    `parts` are the answer as a conversation's turn, with reasoning and tool calls: `Message("assistant", result.parts)`.
    """

    artifacts: tuple[Artifact, ...]
    usage: Usage = field(default_factory=Usage)
    warnings: tuple[CallWarning, ...] = ()
    finish: Finish = "stop"
    cost: Cost | None = None
    meta: Mapping[str, object] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()


AttemptOutcome = Literal["succeeded", "failed", "unknown", "cancelled"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a job: when (seconds since the epoch), with which model, and how it ended."""

    ref: ModelRef
    number: int
    started: float
    ended: float
    outcome: AttemptOutcome
    kind: str = ""
    sent: str = ""
    message: str = ""
    cost: Cost | None = None
