"""From sheet to cells: fan-out, edges by reference, and an order in which everything comes after what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from callsheet.bindings import CompiledProducer, compile_producer
from callsheet.errors import ConfigError
from callsheet.references import Reference, job_id
from callsheet.sheet import CallSheet, Producer

__all__ = ["MAX_CELLS", "Cell", "Expansion", "expand"]

MAX_CELLS = 1_000_000
"""The most jobs that one sheet may have."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One job of the sheet. `missing` names a cell that it reads and that does not exist (it fails unsent)."""

    id: str
    producer: str
    index: int | None
    upstream: tuple[str, ...]
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Expansion:
    """All cells in order (a cell after its upstream), the producers compiled, and how often each is made (None: once)."""

    sheet: CallSheet
    project: Path
    cells: Mapping[str, Cell]
    producers: Mapping[str, CompiledProducer]
    sizes: Mapping[str, int | None]

    @property
    def files(self) -> frozenset[Path]:
        """Every local file that the sheet hands to a model."""
        return frozenset(path for compiled in self.producers.values() for path in compiled.files)


def expand(sheet: CallSheet, project: Path) -> Expansion:
    """Find the jobs of a sheet. Raises ConfigError with file and key: cycles, unknown names, impossible references."""
    compiled = {name: compile_producer(sheet, producer, project) for name, producer in sheet.producers.items()}
    sizes = _sizes(sheet)
    if sum(1 if size is None else size for size in sizes.values()) > MAX_CELLS:
        raise ConfigError(f"asks for more than {MAX_CELLS:,} jobs", where=sheet.source.name)
    cells = {cell.id: cell for name in compiled for cell in _cells_of(sheet, compiled[name], sizes)}
    return Expansion(sheet, project, _sorted(cells, sheet), compiled, sizes)


def _sizes(sheet: CallSheet) -> dict[str, int | None]:
    sizes: dict[str, int | None] = {}

    def size_of(producer: Producer, path: tuple[str, ...]) -> int | None:
        name = producer.name
        where = f"{sheet.source.name}: producers.{name}.for_each"
        if name in path:
            raise ConfigError(f"{' -> '.join((*path, name))} goes round in a circle", where=where)
        if name in sizes or not producer.for_each:
            return sizes.setdefault(name, None)
        source = producer.for_each
        if source in sheet.producers:
            size = size_of(sheet.producers[source], (*path, name))
            if size is None:
                raise ConfigError(f"the producer {source!r} is made once: it has no indices", where=where)
        else:
            size = _input_size(sheet, source, where)
        sizes[name] = size
        return size

    for producer in sheet.producers.values():
        size_of(producer, ())
    return sizes


def _input_size(sheet: CallSheet, source: str, where: str) -> int:
    name = source.removeprefix("inputs.")
    value: object = int(source) if source.isdecimal() else sheet.inputs.get(name)
    if not source.isdecimal() and (name == source or name not in sheet.inputs):
        known = [*(f"inputs.{i}" for i in sheet.inputs), *sheet.producers]
        near = get_close_matches(source, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
        raise ConfigError(f"{source!r} is no input and no producer{hint}", where=where)
    if isinstance(value, list):
        return len(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_CELLS:
        return value
    raise ConfigError(f"{source} must be a list or a whole number from 0 to {MAX_CELLS:,}, got {value!r}", where=where)


def _cells_of(sheet: CallSheet, compiled: CompiledProducer, sizes: Mapping[str, int | None]) -> Iterator[Cell]:
    name = compiled.producer.name
    size = sizes[name]
    for index in [None] if size is None else range(size):
        upstream: dict[str, None] = {}
        missing = ""
        for reference in compiled.references:
            targets, lacking = _targets(sheet, reference, index, sizes, name)
            upstream |= dict.fromkeys(targets)
            # a template may guard itself (`{% if index > 0 %}`); a file attribute cannot
            missing = missing or (lacking if reference in compiled.file_references else "")
        yield Cell(job_id(name, index), name, index, tuple(upstream), missing)


def _targets(
    sheet: CallSheet, reference: Reference, own: int | None, sizes: Mapping[str, int | None], name: str
) -> tuple[list[str], str]:
    """The cells that a reference names, and the one that is lacking (a neighbour beyond the ends)."""
    size = sizes[reference.producer]
    where = f"{sheet.source.name}: producers.{name}"
    if size is None:
        if reference.offset is not None or (reference.number or 0) > 0:
            raise ConfigError(f"{reference}: {reference.producer!r} is made once, so it has no such index", where=where)
        return [job_id(reference.producer, None)], ""
    if reference.whole:
        return [job_id(reference.producer, i) for i in range(size)], ""
    if reference.offset is not None and own is None:
        raise ConfigError(f"{reference}: `index` is for producers with for_each", where=where)
    index = reference.index(own)
    if 0 <= index < size:
        return [job_id(reference.producer, index)], ""
    if reference.number is not None:
        raise ConfigError(f"{reference}: {reference.producer!r} has indices 0 to {size - 1}", where=where)
    return [], job_id(reference.producer, index)


def _sorted(cells: Mapping[str, Cell], sheet: CallSheet) -> dict[str, Cell]:
    sorter = TopologicalSorter({cell.id: cell.upstream for cell in cells.values()})
    try:
        order = list(sorter.static_order())
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise ConfigError(f"{circle} goes round in a circle", where=f"{sheet.source.name}: producers") from None
    return {name: cells[name] for name in order}
