"""A prediction's input in the making: values by the vendor's names, and a warning for each wish that is not met."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callsheet.plugin import CallWarning, FileRef, InvalidRequestError, Job, Sent, WarningKind
from callsheet_replicate.schemas import input_schema

__all__ = ["Draft"]


class Draft:
    """`values` is the input as it will be sent; `data` is what the row says beside its attributes."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.ref = str(job.ref)
        self.data: Mapping[str, object] = job.model.data
        self.schema = input_schema(job.model.schema)
        self.values: dict[str, Any] = {}
        self.warnings: list[CallWarning] = []
        if job.model.deprecated:
            self._warn(WarningKind.DEPRECATED, f"{self.ref}: {job.model.deprecated}")
        if not self.schema.known:
            text = "has no row with a schema: its input is sent as it stands, and only the vendor knows what it takes"
            self._warn(WarningKind.UNCHECKED, f"{self.ref} {text}")

    def table(self, key: str) -> Mapping[str, Any]:
        """A table of the row's data."""
        value = self.data.get(key)
        return value if isinstance(value, Mapping) else {}

    def property(self, field: str) -> Mapping[str, Any]:
        """The schema of one of the vendor's fields; empty for an unknown one."""
        return self.schema.properties.get(field, {})

    def value(self, field: str) -> Any:
        """What the vendor will work with: the value, else the schema's default."""
        return self.values.get(field, self.property(field).get("default"))

    def options(self) -> None:
        """Take over the job's options, last: who writes the vendor's own field means it."""
        for name, value in self.job.options.items():
            if self.schema.known and name not in self.schema.properties:
                text = f"the schema of {self.ref} has no {name}: it was sent as it stands"
                self._warn(WarningKind.UNCHECKED, text, name)
            self.values[name] = value

    def drop(self, field: str, why: str) -> None:
        """Leave a field out, with a warning."""
        if self.values.pop(field, None) is not None:
            self.unsupported(field, why)

    def check(self) -> None:
        """Raises InvalidRequestError for what the model's schema or the row's limits do not allow."""
        for field, most in self.table("most").items():
            if isinstance(self.values.get(field), list) and len(self.values[field]) > most:
                raise self.invalid(f"takes at most {most} files in {field}, not {len(self.values[field])}")
        for field, longest in self.table("longest").items():
            if isinstance(self.values.get(field), str) and len(self.values[field]) > longest:
                raise self.invalid(f"takes at most {longest:,} characters in {field}, not {len(self.values[field]):,}")
        problem = self.schema.problem(self.values)
        if problem:
            raise self.invalid(f"does not take this input: {problem}")

    def unsupported(self, attribute: str, why: str = "it was left out") -> None:
        """Warn that an attribute cannot be taken."""
        self._warn(WarningKind.UNSUPPORTED, f"{self.ref} takes no {attribute}: {why}", attribute)

    def adjusted(self, attribute: str, wished: object, taken: object) -> None:
        """Warn that the nearest possible value was taken."""
        self._warn(WarningKind.ADJUSTED, f"{self.ref} has no {attribute} {wished}: {taken} was taken", attribute)

    def emulated(self, attribute: str, how: str) -> None:
        """Warn that a wish is met by other means than the vendor's own."""
        self._warn(WarningKind.EMULATED, f"{self.ref} has no {attribute}: {how}", attribute)

    def invalid(self, message: str) -> InvalidRequestError:
        """The error of an input that would be refused, or paid for in vain."""
        return InvalidRequestError(f"{self.ref} {message}", sent=Sent.NOT_SENT, ref=self.ref)

    def files(self, field: str) -> int:
        """How many files a field holds."""
        value = self.values.get(field)
        return len(value) if isinstance(value, list) else int(isinstance(value, (FileRef, str)))

    def _warn(self, kind: WarningKind, message: str, attribute: str = "") -> None:
        self.warnings.append(CallWarning(kind, message, attribute))
