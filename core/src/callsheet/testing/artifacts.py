"""Assertions about pictures, sounds and films: each decodes all of the file, and says what is wrong with it.

PNG and WAV need nothing; other pictures need Pillow, other sounds and films ffprobe (a part of ffmpeg).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import wave
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from callsheet.artifacts import BlobArtifact
from callsheet.media import HEAD_BYTES, sniff

__all__ = ["SeenMedia", "assert_audio", "assert_image", "assert_video"]

SECONDS = 120.0
"""How long ffprobe may take."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by PNG's colour type (PNG, section 11.2.1)."""


_EITHER = {"video/mp4": "audio/mp4", "video/webm": "audio/webm"}
"""Containers whose first bytes do not tell a sound from a film: the streams in them do."""


@dataclass(frozen=True)
class SeenMedia:
    """What a file really is: type by its signature, pixels, seconds, frames a second, and the codecs of its streams."""

    media_type: str
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    fps: float | None = None
    codecs: tuple[str, ...] = ()

    @property
    def shape(self) -> float:
        """Width by height."""
        return (self.width or 0) / (self.height or 1)


def assert_image(
    artifact: BlobArtifact | Path | bytes, *, width: int | None = None, height: int | None = None, media_type: str = ""
) -> SeenMedia:
    """A whole picture of this size and type, where they are given. Returns what was seen; raises AssertionError."""
    with _file(artifact) as path:
        seen = _seen_image(path, _type_of(artifact, path, "image", media_type), _name(artifact))
    _compare(artifact, seen, {"width": width, "height": height})
    return seen


def assert_audio(
    artifact: BlobArtifact | Path | bytes, *, seconds: float | None = None, within: float = 0.1, media_type: str = ""
) -> SeenMedia:
    """A whole sound, so many `seconds` long, give or take `within`. Returns what was seen; raises AssertionError."""
    with _file(artifact) as path:
        seen = _seen_stream(path, _type_of(artifact, path, "audio", media_type), _name(artifact))
    _compare(artifact, seen, {"seconds": seconds}, within)
    return seen


def assert_video(
    artifact: BlobArtifact | Path | bytes,
    *,
    width: int | None = None,
    height: int | None = None,
    seconds: float | None = None,
    within: float = 0.1,
    sound: bool | None = None,
    media_type: str = "",
) -> SeenMedia:
    """A whole film of this size and length, with or without `sound` where that is given.

    Returns what was seen; raises AssertionError.
    """
    with _file(artifact) as path:
        seen = _seen_stream(path, _type_of(artifact, path, "video", media_type), _name(artifact))
    _compare(artifact, seen, {"width": width, "height": height, "seconds": seconds}, within)
    heard = len(seen.codecs) > 1
    if sound is not None and heard is not sound:
        raise AssertionError(f"{_name(artifact)}: the film has {'a' if heard else 'no'} sound track")
    return seen


def _type_of(artifact: BlobArtifact | Path | bytes, path: Path, medium: str, wanted: str) -> str:
    """The type by the file's signature: of this medium, the wanted one, and what the artifact says of itself."""
    name, data = _name(artifact), path.read_bytes()
    found = sniff(data[:HEAD_BYTES])
    if medium == "audio" and found in _EITHER:
        found = _EITHER[found]
    if found is None or not found.startswith(f"{medium}/"):
        raise AssertionError(f"{name}: no {medium}, but {found or 'an unknown type'}: it begins with {data[:12]!r}")
    if wanted not in ("", found):
        raise AssertionError(f"{name}: {found}, and not {wanted}")
    if isinstance(artifact, BlobArtifact):
        if artifact.media_type != found:
            raise AssertionError(f"{name}: {found}, and the artifact says {artifact.media_type}")
        if (artifact.file.bytes, artifact.file.sha256) != (len(data), hashlib.sha256(data).hexdigest()):
            raise AssertionError(f"{name}: the file has other bytes than the artifact says")
    return found


def _compare(
    artifact: BlobArtifact | Path | bytes, seen: SeenMedia, wanted: Mapping[str, float | None], within: float = 0.1
) -> None:
    """What was seen with what was wanted, and with what the artifact says of itself."""
    claims: dict[str, float | None] = {}
    if isinstance(artifact, BlobArtifact):
        claims = {"width": artifact.width, "height": artifact.height, "seconds": artifact.duration}
    for numbers, whose in ((wanted, "is wanted"), (claims, "says the artifact")):
        for what, number in numbers.items():
            real = getattr(seen, what)
            if number is not None and (real is None or abs(real - number) > (within if what == "seconds" else 0)):
                told = "unknown" if real is None else f"{real:g}"
                raise AssertionError(f"{_name(artifact)}: {what}: {told}, and {number:g} {whose}")


@contextmanager
def _file(artifact: BlobArtifact | Path | bytes) -> Iterator[Path]:
    """Where the bytes lie; those from memory for as long as they are looked at."""
    if isinstance(artifact, bytes):
        with TemporaryDirectory(prefix="callsheet-seen-") as folder:
            path = Path(folder, "file")
            path.write_bytes(artifact)
            yield path
        return
    place = artifact.location if isinstance(artifact, BlobArtifact) else artifact
    if place is None or not place.is_file():
        raise AssertionError(f"{_name(artifact)}: there is no such file on this machine")
    yield place


def _name(artifact: BlobArtifact | Path | bytes) -> str:
    if isinstance(artifact, bytes):
        return f"{len(artifact)} bytes"
    return artifact.file.name or artifact.file.sha256[:12] if isinstance(artifact, BlobArtifact) else str(artifact)


def _seen_image(path: Path, media_type: str, name: str) -> SeenMedia:
    try:
        from PIL import Image
    except ImportError:
        if media_type != "image/png":
            raise AssertionError(f"{name}: to decode {media_type}, install Pillow: pip install pillow") from None
        return _seen_png(path.read_bytes(), name)
    try:
        with Image.open(path) as picture:
            picture.load()
            return SeenMedia(media_type, picture.width, picture.height)
    except (OSError, SyntaxError, ValueError) as error:
        raise AssertionError(f"{name}: the picture cannot be decoded: {error}") from None


def _seen_png(data: bytes, name: str) -> SeenMedia:
    """PNG by the standard library: every checksum, and as many pixels as the header says (interlaced: what comes)."""
    pixels, head, place, ended = b"", b"", 8, False
    while place + 12 <= len(data) and not ended:
        size, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        content = data[place + 8 : place + 8 + size]
        if zlib.crc32(kind + content) != int.from_bytes(data[place + 8 + size : place + 12 + size]):
            raise AssertionError(f"{name}: the picture is cut or damaged at byte {place}")
        head = content if kind == b"IHDR" else head
        pixels += content if kind == b"IDAT" else b""
        ended = kind == b"IEND"
        place += 12 + size
    if not ended or len(head) != 13:
        raise AssertionError(f"{name}: the picture is cut after {len(data)} bytes")
    width, height, depth, colour, interlaced = (
        int.from_bytes(head[:4]),
        int.from_bytes(head[4:8]),
        head[8],
        head[9],
        head[12],
    )
    line = 1 + (width * depth * _CHANNELS.get(colour, 0) + 7) // 8
    try:
        whole = len(zlib.decompress(pixels))
    except zlib.error as error:
        raise AssertionError(f"{name}: the picture cannot be decoded: {error}") from None
    if not interlaced and whole != line * height:
        raise AssertionError(f"{name}: {whole} bytes of pixels, and not {line * height}")
    return SeenMedia("image/png", width, height)


def _seen_stream(path: Path, media_type: str, name: str) -> SeenMedia:
    if media_type == "audio/wav":
        try:
            return _seen_wav(path, name)
        except wave.Error:
            """Not PCM: for ffprobe."""
    found = _probed(path, media_type, name)
    kinds = {each["codec_type"]: each for each in reversed(found["streams"])}
    medium = media_type.partition("/")[0]
    main = kinds.get(medium)
    if media_type in _EITHER.values() and "video" in kinds:
        raise AssertionError(f"{name}: a film, and no sound alone")
    if main is None or not int(main.get("nb_read_frames", 0)):
        raise AssertionError(f"{name}: {media_type} without {medium} in it")
    top, _, bottom = main.get("avg_frame_rate", "0/1").partition("/")
    fps = int(top) / int(bottom) if medium == "video" and int(bottom) else None
    seconds = main.get("duration") or found["format"].get("duration")
    codecs = tuple(kinds[kind]["codec_name"] for kind in ("video", "audio") if kind in kinds)
    return SeenMedia(
        media_type, main.get("width"), main.get("height"), None if seconds is None else float(seconds), fps, codecs
    )


def _seen_wav(path: Path, name: str) -> SeenMedia:
    with wave.open(str(path)) as sound:
        announced, rate = sound.getnframes(), sound.getframerate()
        frames = len(sound.readframes(announced)) // (sound.getsampwidth() * sound.getnchannels())
    if frames != announced or not frames:
        raise AssertionError(f"{name}: {announced} samples are announced, and {frames} are there")
    return SeenMedia("audio/wav", seconds=frames / rate, codecs=(f"pcm, {rate} Hz",))


def _probed(path: Path, media_type: str, name: str) -> Any:
    program = shutil.which("ffprobe")
    if program is None:
        raise AssertionError(f"{name}: to decode {media_type}, install ffmpeg, of which ffprobe is a part")
    # Counting the frames is what makes it decode all of them.
    command = [program, "-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    if done.returncode or done.stderr:
        raise AssertionError(f"{name}: {media_type} cannot be decoded: {done.stderr.strip()}")
    return json.loads(done.stdout)
