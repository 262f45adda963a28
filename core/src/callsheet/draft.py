"""A request in the making: the vendor's fields, and a warning for each wish that the model cannot take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log
from typing import Any, TypeVar

from callsheet.artifacts import FileRef
from callsheet.attachments import check_attachment
from callsheet.errors import CapabilityUnsupportedError, InvalidRequestError, Sent
from callsheet.jobs import CallWarning, Expected, Job, ProviderRequest, WarningKind

__all__ = ["Draft"]

T = TypeVar("T")

_ALIKE = 0.02
"""Vendors call 1344x768 16:9: a ratio that is off by 2 % is the one that was asked for."""


class Draft:
    """Collects the body of one request: for `prepare`, to be subclassed where a vendor has ways of its own.

    `body` has the vendor's fields; `data` is what the model's row says for the plugin alone, and the fields that its
    list `refuses` names are left out with a warning. Options have the vendor's names and go into the body as they are,
    known here or not: a new field of the vendor works on its first day, and the vendor refuses what it does not know.
    `ours` are fields that no option replaces, because they decide what is called, how its answer is read, or what is
    promised of it. `refuses` and `ours` name the vendor's fields, not our attributes.
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

    def within(self, attribute: str, least: float, most: float) -> Any:
        """The attribute's value; None where it was not asked for.

        Raises InvalidRequestError for a number that is out of range, and for a text of so many characters.
        """
        value = getattr(self.job.inputs, attribute)
        size = len(value) if isinstance(value, str) else value
        if size is not None and not least <= size <= most:
            unit = " characters" if isinstance(value, str) else ""
            raise self.invalid(f"takes a {attribute} of {least} to {most}{unit}, not of {size}")
        return value

    def nearest(self, attribute: str, least: float, most: float, usual: float | None = None) -> Any:
        """The attribute's number, or the end of the range that is nearest to it, with a warning; else `usual`, or None."""
        wished = getattr(self.job.inputs, attribute)
        value = usual if wished is None else wished
        taken = value if value is None else min(max(least, value), most)
        if wished not in (None, taken):
            self.adjusted(attribute, wished, taken)
        return taken

    def choice(self, attribute: str, choices: Mapping[Any, T], usual: object) -> T:
        """What the vendor calls the attribute's value, by value.

        It is what `usual` is called where nothing was asked for, and, with a warning, where a value was that is not in `choices`.
        """
        wished = getattr(self.job.inputs, attribute)
        taken = wished if wished in choices else usual
        if wished not in (None, taken):
            self.adjusted(attribute, wished, taken)
        return choices[taken]

    def shape(self, sizes: Mapping[str, tuple[int, int]], usual: str) -> str:
        """The vendor's word for the size that is nearest to `size`, else to `aspect_ratio`; `usual` where none was asked for.

        `sizes` has width and height in pixels by word; of equals the first is taken. What is not met as written is warned of.
        """
        size, ratio = (getattr(self.job.inputs, name, None) for name in ("size", "aspect_ratio"))
        if not size and not ratio:
            return usual
        width, height = (int(side) for side in str(size or ratio).replace("x", ":").split(":"))

        def distance(word: str) -> tuple[float, float]:
            wide, high = sizes[word]
            return abs(log(wide * height / (high * width))), abs(log(wide * high / (width * height))) if size else 0

        taken = min(sizes, key=distance)
        wide, high = sizes[taken]
        if size and (wide, high) != (width, height):
            self.adjusted("size", size, f"{wide}x{high}")
        if ratio and ratio != taken:
            across, up = (int(side) for side in ratio.split(":"))
            if abs(log(wide * up / (high * across))) > _ALIKE:
                self.adjusted("aspect_ratio", ratio, f"{wide}x{high}" if size else taken)
        return taken

    def attached(
        self, attribute: str, most: int, media_types: tuple[str, ...] = (), max_bytes: int | None = None
    ) -> tuple[FileRef, ...]:
        """The attribute's files, one or many, each looked at as `check_attachment` does.

        Raises CapabilityUnsupportedError for more than `most` (0: the model takes none), and as `check_attachment` does.
        """
        value = getattr(self.job.inputs, attribute)
        files: tuple[FileRef, ...] = value if isinstance(value, tuple) else () if value is None else (value,)
        if len(files) > most:
            raise self.incapable(
                f"takes at most {most} {attribute}, not {len(files)}" if most else f"takes no {attribute}"
            )
        for file in files:
            check_attachment(file, ref=self.ref, media_types=media_types, max_bytes=max_bytes)
        return files

    def refuse(self, attributes: Iterable[str]) -> None:
        """Warn of general attributes that were given and that this wire has no field for."""
        for name in attributes:
            usual = self.job.inputs.__dataclass_fields__[name].default
            if getattr(self.job.inputs, name) not in (None, (), "", usual):
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
