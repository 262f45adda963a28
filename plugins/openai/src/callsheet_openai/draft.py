"""A request in the making: the vendor's fields, and a warning for each wish that the model cannot take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from callsheet.plugin import CallWarning, Expected, InvalidRequestError, Job, ProviderRequest, Sent, WarningKind

__all__ = ["Draft"]

_OURS = ("model", "stream", "stream_format")
"""Fields that decide how an answer is read: they are not options of a call."""


class Draft:
    """Collects the body of one request. What the row's `data.refuses` names is left out with a warning.

    `refuses` holds names of the vendor's fields. Options have the vendor's names and go into the body as they are, known
    here or not: a new field of the vendor works on its first day, and the vendor refuses what it does not know.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.ref = str(job.ref)
        self.data: Mapping[str, object] = job.model.data
        self.body: dict[str, object] = {"model": job.ref.model}
        self._warnings: list[CallWarning] = []
        if job.model.deprecated:
            self._warn(WarningKind.DEPRECATED, f"{self.ref}: {job.model.deprecated}")

    def put(self, field: str, value: object, attribute: str = "") -> None:
        """Set a field of the body; None and empty lists were not asked for."""
        if value is None or value in ((), []):
            return
        if field in self.names("refuses"):
            self.unsupported(attribute or field)
        else:
            self.body[field] = list(value) if isinstance(value, tuple) else value

    def options(self) -> None:
        """Take over the job's options, last: who writes the vendor's own field means it."""
        for name, value in self.job.options.items():
            if name in _OURS:
                self.unsupported(name, "callsheet sets it by itself")
            else:
                self.put(name, value)

    def refuse(self, attributes: Iterable[str]) -> None:
        """Warn of general attributes that were given and that this wire has no field for."""
        for name in attributes:
            if getattr(self.job.inputs, name) not in (None, (), ""):
                self.unsupported(name)

    def unsupported(self, attribute: str, why: str = "it was left out") -> None:
        """Warn that an attribute or option cannot be taken."""
        self._warn(WarningKind.UNSUPPORTED, f"{self.ref} takes no {attribute}: {why}", attribute)

    def adjusted(self, attribute: str, wished: object, taken: object) -> None:
        """Warn that the nearest possible value was taken."""
        self._warn(WarningKind.ADJUSTED, f"{self.ref} has no {attribute} {wished}: {taken} was taken", attribute)

    def invalid(self, message: str) -> InvalidRequestError:
        """The error of a value out of range."""
        return InvalidRequestError(f"{self.ref} {message}", sent=Sent.NOT_SENT, ref=self.ref)

    def names(self, key: str) -> tuple[str, ...]:
        """A list of words from the row's data."""
        value = self.data.get(key, ())
        return tuple(str(each) for each in value) if isinstance(value, (list, tuple)) else ()

    def number(self, key: str, default: int) -> int:
        """A whole number from the row's data."""
        value = self.data.get(key, default)
        return value if isinstance(value, int) else default

    def request(self, *expects: Expected, units: Mapping[str, float] | None = None) -> ProviderRequest:
        """The finished request."""
        job = self.job
        return ProviderRequest(job.ref, job.operation, self.body, expects, units or {}, tuple(self._warnings))

    def _warn(self, kind: WarningKind, message: str, attribute: str = "") -> None:
        self._warnings.append(CallWarning(kind, message, attribute))
