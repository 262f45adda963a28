"""A request in the making: the vendor's fields, and a warning for each wish that the model cannot take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from callsheet.plugin import CallWarning, Expected, InvalidRequestError, Job, ProviderRequest, Sent, WarningKind

__all__ = ["Draft"]

# raw samples, of the rate in the name: 16 bit little-endian, or 8 bit by G.711
_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "pcm": "audio/pcm",
    "wav": "audio/wav",
    "ulaw": "audio/basic",
    "alaw": "audio/pcma",
}
_FORMATS = {
    "mp3": "mp3_44100_128",
    "opus": "opus_48000_128",
    "pcm": "pcm_24000",
    "wav": "wav_24000",
    "ulaw": "ulaw_8000",
    "alaw": "alaw_8000",
}


class Draft:
    """Collects the body of one request. What the row's `data.refuses` names is left out with a warning.

    Options have the vendor's names and go into the request as they are, known here or not; `ours` are those that decide
    how an answer is read.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.ref = str(job.ref)
        self.data: Mapping[str, object] = job.model.data
        self.body: dict[str, object] = {"model_id": self.data.get("model_id", job.ref.model)}
        self._warnings: list[CallWarning] = []
        if job.model.deprecated:
            self._warn(WarningKind.DEPRECATED, f"{self.ref}: {job.model.deprecated}")

    def put(self, field: str, value: object, attribute: str = "") -> None:
        """Set a field of the body; None was not asked for."""
        if value is None:
            return
        refused = self.data.get("refuses", ())
        if isinstance(refused, (list, tuple)) and field in refused:
            self.unsupported(attribute or field)
        else:
            self.body[field] = value

    def text(self, longest: int) -> str:
        """The text to speak. Raises InvalidRequestError when it is longer than the row's `data.longest` (or `longest`)."""
        told = self.data.get("longest")
        most = told if isinstance(told, int) else longest
        text = str(getattr(self.job.inputs, "text", "") or "")
        if len(text) > most:
            raise self.invalid(f"speaks at most {most:,} characters in a call, not {len(text):,}: split the text")
        return text

    def language(self, tag: str | None) -> None:
        """ISO 639 is what the vendor takes: the language of a tag without its region."""
        if tag:
            code = tag.partition("-")[0].lower()
            self.put("language_code", code, "language")
            if code != tag.lower() and "language_code" in self.body:
                self.adjusted("language", tag, code)

    def format(self, wish: str | None, *, wav: bool = False, default: str = "") -> None:
        """`output_format`: a short name, or one of the vendor's own such as `mp3_22050_32`."""
        name = (wish or "").lower()
        kind = name.partition("_")[0]
        if kind not in _TYPES or (kind == "wav" and not wav):
            if wish:
                self.adjusted("format", wish, "mp3")
            name = default
        if name:
            self.put("output_format", _FORMATS.get(name, name), "format")

    def media_type(self) -> str:
        """The type of the sound that was asked for."""
        kind = str(self.body.get("output_format", "mp3")).partition("_")[0]
        return _TYPES.get(kind, "audio/mpeg")

    def seed(self, value: int | None, most: int) -> None:
        """Raises InvalidRequestError for a seed out of range."""
        if value is not None and not 0 <= value <= most:
            raise self.invalid(f"takes a seed of 0 to {most}, not {value}")
        self.put("seed", value)

    def clamped(self, attribute: str, value: float, least: float, most: float) -> float:
        """The nearest value in range, with a warning when it is another one."""
        taken = min(max(value, least), most)
        if taken != value:
            self.adjusted(attribute, f"{value:g}", f"{taken:g}")
        return taken

    def options(self, ours: Iterable[str] = ()) -> None:
        """Take over the job's options, last: who writes the vendor's own field means it."""
        kept = {"model_id", *ours}
        for name, value in self.job.options.items():
            if name in kept:
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

    def request(self, *expects: Expected, units: Mapping[str, float] | None = None) -> ProviderRequest:
        """The finished request."""
        job = self.job
        return ProviderRequest(job.ref, job.operation, self.body, expects, units or {}, tuple(self._warnings))

    def _warn(self, kind: WarningKind, message: str, attribute: str = "") -> None:
        self._warnings.append(CallWarning(kind, message, attribute))
