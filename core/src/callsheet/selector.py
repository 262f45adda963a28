"""Choosing a model: what is asked for, who could do it, and the protocol of who decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Protocol, runtime_checkable

from callsheet.errors import ConfigError
from callsheet.models import Mode, ModelInfo, ModelRef, Operation
from callsheet.money import Cost

__all__ = [
    "AUTO",
    "Candidate",
    "Refusal",
    "Requirements",
    "Selection",
    "SelectionRequest",
    "Selector",
]

AUTO = "auto"
"""What stands for the provider where a model is to be chosen: `auto:image.generate`."""
MOST_FALLBACKS = 3
"""Each of them may cost as much as the first, and take as long."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a model must have beside taking the job as it is.

    `needs` are capabilities of its row or general attributes that it maps; `max_price` is in US dollars for one call;
    `providers` are those that may be chosen from, and none means all; `context` is how many tokens it must take at least.
    """

    needs: tuple[str, ...] = ()
    max_price: Decimal | None = None
    providers: tuple[str, ...] = ()
    context: int = 0

    def __bool__(self) -> bool:
        return self != Requirements()


@dataclass(frozen=True, slots=True)
class SelectionRequest:
    """What a model is chosen for: a producer's name, or `call`."""

    name: str
    operation: Operation
    requirements: Requirements = Requirements()
    mode: Mode = Mode.LIVE
    environment: str = "local"

    @classmethod
    def of(cls, ref: ModelRef, name: str, requirements: Requirements | None, mode: Mode) -> SelectionRequest | None:
        """What `auto:OPERATION` asks for; None for a reference to one model. Raises ConfigError."""
        if ref.provider != AUTO:
            if requirements:
                raise ConfigError(
                    f"needs, max_price, providers and context go with {AUTO}:OPERATION, and {ref} is one model"
                )
            return None
        names = [each.value for each in Operation]
        if ref.model not in names:
            near = get_close_matches(ref.model, names, 1)
            hint = f"did you mean {AUTO}:{near[0]}?" if near else f"write {AUTO}: and one of {', '.join(names)}"
            raise ConfigError(f"{ref}: there is no operation {ref.model!r}; {hint}")
        return cls(name, Operation(ref.model), requirements or Requirements(), mode, ref.environment)

    def __str__(self) -> str:
        """As a sheet says it."""
        return str(ModelRef(AUTO, self.operation.value, self.environment))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that can do it.

    `cost` is that of one call, for a job that waits for upstream with a placeholder for what upstream will give.
    `seconds` is how long its latest calls in this project took (the median), None without any. `failing` says what keeps
    its breaker open, `adjusted` which attributes it takes another value for; `simulated` makes things up. `busy` is in how many
    seconds its provider's gate lets the next request go.
    """

    ref: ModelRef
    info: ModelInfo
    cost: Cost
    seconds: float | None = None
    failing: str = ""
    adjusted: tuple[str, ...] = ()
    simulated: bool = False
    busy: float = 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model that cannot do it, and why."""

    ref: ModelRef
    reason: str


@runtime_checkable
class Selector(Protocol):
    """Decides among the models that can do it."""

    def __call__(
        self, request: SelectionRequest, candidates: Sequence[Candidate], /
    ) -> Iterable[Candidate | ModelRef] | None:
        """Those of the candidates that may be called, the best first; None leaves it to whoever is asked next.

        `candidates` come as callsheet ranks them. The same question must have the same answer; nothing may block.
        """
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen: the first of `ranked`; the next ones are its fallbacks. `refused` cannot do it.

    `by` says who decided: `rank`, `kept` (an earlier run of the sheet), `selector`, or a plugin. `lost` tells why the choice
    of an earlier run does not hold any more.
    """

    request: SelectionRequest
    ranked: tuple[Candidate, ...]
    refused: tuple[Refusal, ...] = ()
    by: str = "rank"
    lost: str = ""

    @property
    def refs(self) -> tuple[ModelRef, ...]:
        """The chosen model and its fallbacks."""
        return tuple(each.ref for each in self.ranked[: 1 + MOST_FALLBACKS])
