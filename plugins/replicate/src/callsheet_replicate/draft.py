"""A prediction's input in the making: values by the vendor's names, and a warning for each wish that is not met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from callsheet.plugin import Draft, FileRef, Job, input_schema

__all__ = ["ReplicateDraft"]


class ReplicateDraft(Draft):
    """`body` is the prediction's input as it will be sent."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.schema = input_schema(job.model)
        if not self.schema.known:
            how = "its input is sent as it stands, and only the vendor knows what it takes"
            self.unchecked(f"has no row with a schema: {how}")

    def property(self, field: str) -> Mapping[str, Any]:
        """The schema of one of the vendor's fields; empty for an unknown one."""
        return self.schema.properties.get(field, {})

    def value(self, field: str) -> Any:
        """What the vendor will work with: the value, else the schema's default."""
        return self.body.get(field, self.property(field).get("default"))

    def options(self, ours: Iterable[str] = ()) -> None:
        """As every draft's, with a warning for a field that the schema has not."""
        super().options(ours)
        for name in self.job.options:
            if self.schema.known and name in self.body and name not in self.schema.properties:
                self.unchecked(f"has no {name} in its schema: it was sent as it stands", name)

    def drop(self, field: str, why: str) -> None:
        """Leave a field out, with a warning."""
        if self.body.pop(field, None) is not None:
            self.unsupported(field, why)

    def check(self) -> None:
        """Raises InvalidRequestError for what the model's schema or the row's limits do not allow."""
        for field, most in self.table("most").items():
            if isinstance(self.body.get(field), list) and len(self.body[field]) > most:
                raise self.invalid(f"takes at most {most} files in {field}, not {len(self.body[field])}")
        for field, longest in self.table("longest").items():
            if isinstance(self.body.get(field), str) and len(self.body[field]) > longest:
                raise self.invalid(f"takes at most {longest:,} characters in {field}, not {len(self.body[field]):,}")
        problem = self.schema.problem(self.body)
        if problem:
            raise self.invalid(f"does not take this input: {problem}")

    def files(self, field: str) -> int:
        """How many files a field holds."""
        value = self.body.get(field)
        return len(value) if isinstance(value, list) else int(isinstance(value, (FileRef, str)))
