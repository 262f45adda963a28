"""A request in the making: the vendor's fields, and a warning for each wish that the model cannot take."""

from __future__ import annotations

from callsheet.plugin import Draft, Job

__all__ = ["ElevenLabsDraft"]

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


class ElevenLabsDraft(Draft):
    """What all that this vendor makes has in common: text, language, output format, seed."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, {"model_id": job.model.data.get("model_id", job.ref.model)}, ours=("model_id",))

    def text(self, longest: int) -> str:
        """The text to speak. Raises InvalidRequestError when it is longer than the row's `data.longest` (or `longest`)."""
        most = self.number("longest", longest)
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

    def length(self, field: str, of_a_second: float = 1.0) -> float | None:
        """The seconds that are asked for in the end: an option may have the last word. None for what is no length."""
        value = self.body.get(field)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            return None
        return value / of_a_second

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
