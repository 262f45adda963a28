"""The `auto:` entries of a sheet: each becomes the model that was chosen for it, with its fallbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from callsheet.bindings import BoundChoice, CompiledProducer
from callsheet.errors import ConfigError
from callsheet.expansion import Expansion
from callsheet.models import Mode
from callsheet.preparation import Preparer
from callsheet.runtime import Runtime
from callsheet.selection import select_model
from callsheet.selector import Selection, SelectionRequest

__all__ = ["SheetSelection", "mark", "told_of"]


@dataclass(frozen=True, slots=True)
class SheetSelection:
    """Chooses for the producers of one sheet. `kept` are the choices of earlier runs, each under its `mark`.

    A choice is written as references with spaces between them, the fallbacks too: one of them may have been paid for.
    """

    runtime: Runtime
    expansion: Expansion
    preparer: Preparer
    mode_of: Callable[[str], Mode]
    kept: Mapping[str, str]

    async def choose(self) -> tuple[Expansion, dict[str, Selection]]:
        """The expansion with named models alone, and what was chosen for which producer. Raises ConfigError."""
        producers: dict[str, CompiledProducer] = {}
        selections: dict[str, Selection] = {}
        for name, compiled in self.expansion.producers.items():
            choices: dict[str, BoundChoice] = {}
            for number, choice in enumerate(compiled.choices):
                request = None if compiled.producer.pin else self._request(compiled, choice, number)
                if request is None:
                    choices.setdefault(choice.choice.name, choice)
                    continue
                attempt = partial(self.preparer.offer, name, choice)
                made = await select_model(self.runtime, request, attempt, self.kept.get(mark(request), "").split())
                selections.setdefault(name, made)
                for ref in map(str, made.refs):
                    choices.setdefault(ref, replace(choice, choice=replace(choice.choice, name=ref)))
            producers[name] = replace(compiled, choices=tuple(choices.values()))
        return replace(self.expansion, producers=producers), selections

    def _request(self, compiled: CompiledProducer, choice: BoundChoice, number: int) -> SelectionRequest | None:
        """What is asked for; None for an entry that names its model."""
        producer = compiled.producer
        where = f"{self.expansion.sheet.source.name}: producers.{producer.name}.models[{number}]"
        try:
            ref = self.runtime.catalog.find(choice.choice.name)
        except ConfigError:
            return None  # `Preparer.check` tells of it: an error, or a fallback's warning
        try:
            wanted = choice.choice.requirements
            request = SelectionRequest.of(ref, producer.name, wanted, self.mode_of(producer.name))
        except ConfigError as error:
            raise ConfigError(str(error), where=where) from error
        if request is not None and request.operation is not producer.operation:
            raise ConfigError(f"{ref} does not go with the operation {producer.operation}", where=where)
        return request


def mark(request: SelectionRequest) -> str:
    """What a choice is kept under: one for a mocked producer needs no key, so it is none for a live one."""
    return f"{request.mode}:{request.name}"


def told_of(selections: Mapping[str, Selection]) -> list[str]:
    """What the user is told of choices that nobody has seen."""
    told = []
    for name, made in selections.items():
        chosen, asked = made.ranked[0].ref, made.request
        if made.by == "kept":
            told.append(f"{name} uses {chosen}, chosen for {asked} by an earlier run; --reset-selection chooses anew")
        else:
            told.append(f"{name} uses {chosen}, chosen for {asked}; `callsheet plan --why` says why")
        told += [f"{name}: {made.lost}"] if made.lost else []
    return told
