"""A request in the making: the vendor's fields, and a warning for each wish that the model cannot take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from callsheet.errors import CapabilityUnsupportedError, InvalidRequestError, Sent
from callsheet.jobs import CallWarning, Expected, Job, ProviderRequest, WarningKind

__all__ = ["Draft"]


class Draft:
    """Collects the body of one request: for `prepare`, to be subclassed where a vendor has ways of its own.

    `body` has the vendor's fields; `data` is what the model's row says for the plugin alone, and the fields that its
    list `refuses` names are left out with a warning. Options have the vendor's names and go into the body as they are,
    known here or not: a new field of the vendor works on its first day, and the vendor refuses what it does not know.
    `ours` are fields that no option replaces, because they decide what is called or how its answer is read.
    """

    def __init__(self, job: Job, body: Mapping[str, object] | None = None, ours: Iterable[str] = ()) -> None:
        self.job = job
        self.ref = str(job.ref)
        self.data: Mapping[str, object] = job.model.data
        self.body: dict[str, Any] = dict(body or {})
        self._ours = frozenset(ours)
        self._warnings: list[CallWarning] = []
        if job.model.deprecated:
            self.warn(WarningKind.DEPRECATED, f"{self.ref}: {job.model.deprecated}")

    def put(self, field: str, value: object, attribute: str = "") -> None:
        """Set a field of the body; None and empty lists were not asked for. `attribute`: the general one it comes from."""
        if value not in (None, (), []):
            self._set(field, value, attribute)

    def options(self, ours: Iterable[str] = ()) -> None:
        """Take over the job's options, last: who writes the vendor's own field means it. `ours` are more that cannot be."""
        kept = self._ours.union(ours)
        for name, value in self.job.options.items():
            if name in kept:
                self.unsupported(name, "callsheet sets it by itself")
            else:
                self._set(name, value)

    def refuse(self, attributes: Iterable[str]) -> None:
        """Warn of general attributes that were given and that this wire has no field for."""
        for name in attributes:
            if getattr(self.job.inputs, name) not in (None, (), ""):
                self.unsupported(name)

    def unsupported(self, attribute: str, why: str = "it was left out") -> None:
        """Warn that an attribute or option cannot be taken."""
        self.warn(WarningKind.UNSUPPORTED, f"{self.ref} takes no {attribute}: {why}", attribute)

    def adjusted(self, attribute: str, wished: object, taken: object) -> None:
        """Warn that the nearest possible value was taken."""
        self.warn(WarningKind.ADJUSTED, f"{self.ref} has no {attribute} {wished}: {taken} was taken", attribute)

    def emulated(self, attribute: str, how: str) -> None:
        """Warn that a wish is met by other means than a field of the vendor."""
        self.warn(WarningKind.EMULATED, f"{self.ref} {how}", attribute)

    def unchecked(self, what: str, attribute: str = "") -> None:
        """Warn of what was sent as it stands, because nothing here says what the model takes."""
        self.warn(WarningKind.UNCHECKED, f"{self.ref} {what}", attribute)

    def warn(self, kind: WarningKind, message: str, attribute: str = "") -> None:
        """Add a warning to the request."""
        self._warnings.append(CallWarning(kind, message, attribute))

    def invalid(self, message: str) -> InvalidRequestError:
        """The error of an input that would be refused, or paid for in vain: `raise draft.invalid("takes …, not …")`."""
        return InvalidRequestError(f"{self.ref} {message}", sent=Sent.NOT_SENT, ref=self.ref)

    def incapable(self, message: str) -> CapabilityUnsupportedError:
        """The error of a wish without which the answer is of no use: `raise draft.incapable("writes lines, not JSON")`."""
        return CapabilityUnsupportedError(f"{self.ref} {message}", ref=self.ref)

    def names(self, key: str) -> tuple[str, ...]:
        """A list of words from the row's data; empty when it has none."""
        value = self.data.get(key, ())
        return tuple(str(each) for each in value) if isinstance(value, (list, tuple)) else ()

    def number(self, key: str, default: int) -> int:
        """A whole number from the row's data."""
        value = self.data.get(key, default)
        return value if isinstance(value, int) else default

    def table(self, key: str) -> Mapping[str, Any]:
        """A table from the row's data; empty when it has none."""
        value = self.data.get(key)
        return value if isinstance(value, Mapping) else {}

    def request(
        self,
        *expects: Expected,
        units: Mapping[str, float] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> ProviderRequest:
        """The finished request, with all warnings; `body` is what is sent where the draft's is only a part of it."""
        sent = self.body if body is None else body
        job = self.job
        return ProviderRequest(job.ref, job.operation, sent, expects, units or {}, tuple(self._warnings))

    def _set(self, field: str, value: object, attribute: str = "") -> None:
        if field in self.names("refuses"):
            self.unsupported(attribute or field)
        else:
            self.body[field] = list(value) if isinstance(value, tuple) else value
