"""From sheet to cells: fan-out, edges by reference, and an order in which everything comes after what it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from callsheet.bindings import CompiledProducer, FileItems, compile_producer
from callsheet.errors import ConfigError
from callsheet.inputs import list_attributes
from callsheet.models import Operation
from callsheet.references import InputReference, Reference, job_id
from callsheet.sheet import CallSheet, Producer

__all__ = ["MAX_CELLS", "Cell", "Expansion", "expand"]

_JSON_OPERATIONS = frozenset({Operation.AUDIO_TRANSCRIBE, Operation.TEXT_EMBED, Operation.TEXT_MODERATE})
_NUMBER = re.compile(r"-?[0-9]{1,40}")
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
    for each in compiled.values():
        _check_single_files(sheet, each, sizes)
    cells = {cell.id: cell for name in compiled for cell in _cells_of(sheet, compiled[name], sizes)}
    return Expansion(sheet, project, _sorted(cells, sheet), compiled, sizes)


def _sizes(sheet: CallSheet) -> dict[str, int | None]:
    sizes: dict[str, int | None] = {}
    for producer in sheet.producers.values():
        chain: dict[str, Producer] = {}
        while producer.name not in sizes:
            where = _for_each_key(sheet, producer)
            if producer.name in chain:
                circle = " -> ".join((*chain, producer.name))
                raise ConfigError(f"{circle} goes round in a circle", where=where)
            source = sheet.producers.get(producer.for_each)
            if source is None:
                sizes[producer.name] = _input_size(sheet, producer.for_each, where) if producer.for_each else None
                break
            chain[producer.name] = producer
            producer = source  # noqa: PLW2901
        for follower in reversed(chain.values()):
            size = sizes[follower.for_each]
            if size is None:
                problem = f"the producer {follower.for_each!r} is made once: it has no indices"
                raise ConfigError(problem, where=_for_each_key(sheet, follower))
            sizes[follower.name] = size
    return sizes


def _for_each_key(sheet: CallSheet, producer: Producer) -> str:
    return f"{sheet.source.name}: producers.{producer.name}.for_each"


def _input_size(sheet: CallSheet, source: str, where: str) -> int:
    name = source.removeprefix("inputs.")
    number = bool(_NUMBER.fullmatch(source))
    value: object = int(source) if number else sheet.inputs.get(name)
    if not number and (name == source or name not in sheet.inputs):
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
            if sizes[reference.producer] is None and _reads_json(sheet, compiled, reference):
                reference = Reference(reference.producer)  # noqa: PLW2901
            targets, lacking = _targets(sheet, reference, index, sizes, name)
            upstream |= dict.fromkeys(targets)
            # a template may guard itself (`{% if index > 0 %}`); a file attribute cannot
            missing = missing or (lacking if reference in compiled.file_references else "")
        yield Cell(job_id(name, index), name, index, tuple(upstream), missing)


def _reads_json(sheet: CallSheet, compiled: CompiledProducer, reference: Reference) -> bool:
    """True when a subscript in a prompt may read a JSON list: what it names gives JSON and is made once."""
    source = sheet.producers[reference.producer]
    schema = any("output_schema" in inputs for inputs in (source.inputs, *(m.inputs for m in source.models)))
    gives_json = schema or source.operation in _JSON_OPERATIONS or any(pin.endswith(".json") for pin in source.pin)
    return gives_json and reference not in compiled.file_references


def _check_single_files(sheet: CallSheet, compiled: CompiledProducer, sizes: Mapping[str, int | None]) -> None:
    """Several files for an attribute that takes one are refused before anything upstream is paid."""
    producer = compiled.producer
    lists = list_attributes(producer.operation)
    for choice in compiled.choices:
        for name, binding in choice.inputs.items():
            if not isinstance(binding, FileItems) or name in lists:
                continue
            counts = [_files_in(item, sheet, sizes) for item in binding.items]
            if None not in counts and (number := sum(filter(None, counts))) != 1:
                where = f"{sheet.source.name}: producers.{producer.name}.{name}"
                raise ConfigError(f"takes one file, got {number}{_one_of(binding)}", where=where)


def _files_in(item: Reference | InputReference | Path, sheet: CallSheet, sizes: Mapping[str, int | None]) -> int | None:
    """How many files an item of a file attribute stands for; None when only the result will tell."""
    if isinstance(item, Path):
        return 1
    if isinstance(item, InputReference):
        value = sheet.inputs[item.name]
        return len(value) if item.item is None and isinstance(value, list) else 1
    if item.every:
        return None
    size = sizes[item.producer]
    return size if item.whole and size is not None else 1


def _one_of(binding: FileItems) -> str:
    whole = [item for item in binding.items if isinstance(item, Reference) and item.whole]
    return f": write {whole[0].producer}[index] for one of them" if whole else ""


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
