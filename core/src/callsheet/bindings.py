"""A producer's attributes, compiled: templates, references and files, and how each gets its value for one cell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from callsheet.artifacts import Artifact, BlobArtifact, FileRef, JsonArtifact, TextArtifact
from callsheet.errors import ConfigError
from callsheet.inputs import file_attributes, list_attributes, text_attributes
from callsheet.models import Operation
from callsheet.references import InputReference, Reference, job_id, parse_reference
from callsheet.result_check import schema_fault
from callsheet.sheet import CallSheet, ModelChoice, Producer
from callsheet.sheet_files import inside, is_file, is_template_file, parse_json, read_text
from callsheet.templates import Missing, Template, is_template, opened

__all__ = ["BoundChoice", "CompiledProducer", "FileItems", "Scope", "compile_producer", "evaluate", "values_for"]


@dataclass(frozen=True, slots=True)
class FileItems:
    """A file attribute's value: references and paths, in order."""

    items: tuple[Reference | InputReference | Path, ...]


Binding = Template | FileItems | object


@dataclass(frozen=True, slots=True)
class BoundChoice:
    """The attributes and options of one model choice."""

    choice: ModelChoice
    inputs: Mapping[str, Binding]
    options: Mapping[str, Binding]


@dataclass(frozen=True, slots=True)
class CompiledProducer:
    """A producer whose texts are parsed; `references` are all cells that any of its choices reads.

    `file_references` are those of them that file attributes make; `files` are the local files it hands to models.
    """

    producer: Producer
    choices: tuple[BoundChoice, ...]
    references: tuple[Reference, ...]
    file_references: frozenset[Reference]
    files: frozenset[Path]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a cell sees: the sheet's inputs, its index, its upstream's artifacts by job id, and the files taken in."""

    inputs: Mapping[str, object]
    index: int | None
    sizes: Mapping[str, int | None]
    results: Mapping[str, tuple[Artifact, ...]]
    files: Mapping[Path, FileRef]
    folder: Path
    project: Path

    def template_values(self) -> dict[str, object]:
        """The names of a template."""
        values: dict[str, object] = {"inputs": self.inputs}
        values["index"] = Missing("`index` is for producers with for_each") if self.index is None else self.index
        for producer, size in self.sizes.items():
            if size is None:
                values[producer] = self._value(job_id(producer, None))
            else:
                values[producer] = _Cells(producer, size, self._value)
        return values

    def _value(self, job: str) -> object:
        artifacts = self.results.get(job)
        if not artifacts:
            return Missing(f"{job} has no result here")
        match artifacts[0]:
            case TextArtifact(text=text):
                return text
            case JsonArtifact(value=value):
                return value
        return Missing(f"{job} is a {artifacts[0].media_type} file: give it to a file attribute, not to a prompt")


class _Cells(Sequence[object]):
    """A fanned-out producer's values, looked up when they are read: a sheet may have very many."""

    def __init__(self, producer: str, size: int, value: Callable[[str], object]) -> None:
        self._producer = producer
        self._size = size
        self._value = value

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> object: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[object]: ...
    def __getitem__(self, index: int | slice) -> object:
        numbers = range(self._size)[index]
        if isinstance(numbers, range):
            return [self[i] for i in numbers]
        return opened(self._value(job_id(self._producer, numbers)))


def compile_producer(sheet: CallSheet, producer: Producer, project: Path) -> CompiledProducer:
    """Parse every text of a producer. Raises ConfigError with file and key."""
    return _Compiler(sheet, producer, project).run()


class _Compiler:
    def __init__(self, sheet: CallSheet, producer: Producer, project: Path) -> None:
        self._sheet = sheet
        self._producer = producer
        self._project = project
        self._key = f"{sheet.source.name}: producers.{producer.name}"
        self._references: dict[Reference, None] = {}
        self._file_references: set[Reference] = set()
        self._files: set[Path] = set()

    def run(self) -> CompiledProducer:
        shared = self._inputs(self._producer.inputs, self._key)
        options = self._options(self._producer.options, f"{self._key}.options")
        choices = []
        for number, choice in enumerate(self._producer.models):
            key = f"{self._key}.models[{number}]"
            own = self._inputs(choice.inputs, f"{key}.inputs")
            own_options = self._options(choice.options, f"{key}.options")
            choices.append(BoundChoice(choice, {**shared, **own}, {**options, **own_options}))
        return CompiledProducer(
            self._producer,
            tuple(choices),
            tuple(self._references),
            frozenset(self._file_references),
            frozenset(self._files),
        )

    def _inputs(self, raw: Mapping[str, object], key: str) -> dict[str, Binding]:
        files = file_attributes(self._producer.operation)
        bound: dict[str, Binding] = {}
        for name, value in raw.items():
            where = f"{key}.{name}"
            if name in files:
                bound[name] = self._file_items(value, where)
            elif name == "output_schema":
                bound[name] = self._schema(value, where)
            else:
                bound[name] = self._text(value, where)
        return bound

    def _options(self, raw: Mapping[str, object], key: str) -> dict[str, Binding]:
        return {name: self._nested(value, f"{key}.{name}", self._sheet.producers) for name, value in raw.items()}

    def _text(self, value: object, where: str) -> Binding:
        if isinstance(value, list):
            return [self._text(item, f"{where}[{i}]") for i, item in enumerate(value)]
        if not isinstance(value, str):
            return self._nested(value, where, self._sheet.producers)
        if is_template_file(value, self._sheet.folder):
            path = inside(self._project, self._sheet.folder, value, where)
            return self._template(read_text(path, where).rstrip("\n"), f"{where}: {value}", self._sheet.producers)
        return self._template(value, where, self._sheet.producers) if is_template(value) else value

    def _template(self, source: str, where: str, producers: Collection[str]) -> Template:
        template = Template(source, where)
        self._references |= dict.fromkeys(template.references(producers, self._sheet.inputs))
        return template

    def _nested(self, value: object, where: str, producers: Collection[str]) -> Binding:
        if isinstance(value, str) and is_template(value):
            return self._template(value, where, producers)
        if isinstance(value, dict):
            return {k: self._nested(v, f"{where}.{k}", producers) for k, v in value.items()}
        if isinstance(value, list):
            return [self._nested(v, f"{where}[{i}]", producers) for i, v in enumerate(value)]
        return value

    def _schema(self, value: object, where: str) -> Binding:
        """A JSON Schema, inline or from a file; a text that is one `{{ expression }}` may use inputs."""
        if isinstance(value, str):
            path = inside(self._project, self._sheet.folder, value, where)
            value = parse_json(read_text(path, where), value)
        if not isinstance(value, dict):
            raise ConfigError("wants a JSON Schema: a table, or the name of a JSON file that holds one", where=where)
        return self._nested(value, where, ())

    def _file_items(self, value: object, where: str) -> FileItems:
        raw = value if isinstance(value, list) else [value]
        return FileItems(tuple(self._file_item(item, where) for item in raw))

    def _file_item(self, item: object, where: str) -> Reference | InputReference | Path:
        if not isinstance(item, str):
            raise ConfigError("wants a reference such as still[index], or a file's name", where=where)
        reference = parse_reference(item)
        if isinstance(reference, InputReference):
            if reference.name not in self._sheet.inputs:
                raise ConfigError(f"there is no input {reference.name!r}", where=where)
            self._files.update(self._input_files(reference, where))
            return reference
        if reference is not None and reference.producer in self._sheet.producers:
            self._references[reference] = None
            self._file_references.add(reference)
            return reference
        if reference is not None and not is_file(self._sheet.folder / item):
            names = ", ".join(self._sheet.producers)
            raise ConfigError(f"{item!r} is neither a producer ({names}) nor a file", where=where)
        path = inside(self._project, self._sheet.folder, item, where)
        self._files.add(path)
        return path

    def _input_files(self, reference: InputReference, where: str) -> Iterator[Path]:
        value = self._sheet.inputs[reference.name]
        for name in value if isinstance(value, list) else [value]:
            yield inside(self._project, self._sheet.folder, str(name), where)


def evaluate(binding: Binding, scope: Scope, where: str) -> object:
    """The binding's value for one cell. Raises ConfigError for what is missing or of the wrong kind."""
    if isinstance(binding, Template):
        return binding.evaluate(scope.template_values())
    if isinstance(binding, FileItems):
        return tuple(file for item in binding.items for file in _files_of(item, scope, where))
    if isinstance(binding, dict):
        return {k: evaluate(v, scope, f"{where}.{k}") for k, v in binding.items()}
    if isinstance(binding, list):
        return [evaluate(v, scope, f"{where}[{i}]") for i, v in enumerate(binding)]
    return binding


def _files_of(item: Reference | InputReference | Path, scope: Scope, where: str) -> Iterator[FileRef]:
    if isinstance(item, Path):
        yield scope.files[item]
        return
    if isinstance(item, InputReference):
        yield from _input_files_of(item, scope, where)
        return
    size = scope.sizes[item.producer]
    indexes = [None] if size is None else range(size) if item.whole else [item.index(scope.index)]
    for index in indexes:
        job = job_id(item.producer, index)
        artifacts = scope.results.get(job, ())
        if not artifacts:
            raise ConfigError(f"{job} has no result here", where=where)
        for artifact in artifacts if item.every else artifacts[:1]:
            if not isinstance(artifact, BlobArtifact):
                raise ConfigError(f"{job} is {artifact.kind}, not a file", where=where)
            yield artifact.file


def _input_files_of(item: InputReference, scope: Scope, where: str) -> Iterator[FileRef]:
    value = scope.inputs[item.name]
    names = value if isinstance(value, list) else [value]
    if item.item is not None:
        number = (scope.index or 0) if item.item == "index" else int(item.item)
        if number >= len(names):
            raise ConfigError(f"inputs.{item.name} has no item {number}", where=where)
        names = [names[number]]
    for name in names:
        yield scope.files[inside(scope.project, scope.folder, str(name), where)]


def values_for(choice: BoundChoice, scope: Scope, operation: Operation, where: str) -> dict[str, object]:
    """All attribute values of a choice for one cell. Raises ConfigError."""
    lists, texts = list_attributes(operation), text_attributes(operation)
    values: dict[str, object] = {}
    for name, binding in choice.inputs.items():
        if isinstance(binding, Template) and name in texts:
            values[name] = binding.render(scope.template_values())
            continue
        value = evaluate(binding, scope, f"{where}.{name}")
        if name == "output_schema" and isinstance(value, dict) and (fault := schema_fault(value)):
            raise ConfigError(f"is no JSON Schema: {fault}", where=f"{where}.{name}")
        if isinstance(binding, FileItems) and name not in lists and isinstance(value, tuple):
            if len(value) != 1:
                raise ConfigError(f"takes one file, got {len(value)}", where=f"{where}.{name}")
            value = value[0]
        values[name] = value
    return values
