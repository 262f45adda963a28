"""Assertions about media: whole files pass, and cut, damaged, wrong and mislabelled ones say what is wrong."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import struct
import subprocess
import sys
import wave
import zlib
from pathlib import Path

import pytest
from PIL import Image

from callsheet.artifacts import BlobArtifact, FileRef
from callsheet.testing import assert_audio, assert_image, assert_video


def picture(kind: str = "PNG", size: tuple[int, int] = (32, 18), mode: str = "RGB") -> bytes:
    """A picture that no compression makes small."""
    stream = io.BytesIO()
    Image.effect_noise(size, 64).convert(mode).save(stream, kind)
    return stream.getvalue()


def sound(seconds: float = 0.5, rate: int = 8000) -> bytes:
    """Silence."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(b"\0\0" * int(seconds * rate))
    return stream.getvalue()


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> dict[str, bytes]:
    """A film with and without sound, and an MP3, by ffmpeg."""
    folder = tmp_path_factory.mktemp("media")
    film = ["-f", "lavfi", "-i", "testsrc=size=64x36:rate=10:duration=1"]
    tone = ["-f", "lavfi", "-i", "sine=duration=1"]
    made = {
        "film.mp4": [*film, *tone],
        "mute.mp4": film,
        "tone.mp3": tone,
        "tone.m4a": tone,
        "tone.mp4": tone,
        "tone.webm": tone,
    }
    made["float.wav"] = [*tone, "-c:a", "pcm_f32le"]
    for name, sources in made.items():
        subprocess.run(["ffmpeg", "-v", "error", *sources, str(folder / name)], check=True, timeout=60)
    return {name: (folder / name).read_bytes() for name in made}


def blob(data: bytes, media_type: str, folder: Path, **about) -> BlobArtifact:
    """The artifact of a file."""
    digest = hashlib.sha256(data).hexdigest()
    (folder / digest).write_bytes(data)
    return BlobArtifact(FileRef(digest, media_type, len(data), "made"), location=folder / digest, **about)


@pytest.fixture
def without(monkeypatch):
    """A machine where something is not installed."""

    def missing(*names: str) -> None:
        if "pillow" in names:
            monkeypatch.setitem(sys.modules, "PIL", None)
        if "ffprobe" in names:
            monkeypatch.setattr(shutil, "which", lambda _name: None)

    return missing


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_whole_pictures(kind, tmp_path):
    """From bytes, from a file, from an artifact; what was seen is told."""
    data = picture(kind, mode="L" if kind == "GIF" else "RGB")
    (tmp_path / "a").write_bytes(data)
    for given in (data, tmp_path / "a", blob(data, f"image/{kind.lower()}", tmp_path, width=32, height=18)):
        seen = assert_image(given, width=32, height=18, media_type=f"image/{kind.lower()}")
    assert (seen.width, seen.height, seen.shape) == (32, 18, 32 / 18)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
def test_png_needs_nothing(mode, without):
    """The standard library reads its pixels, in whichever colours."""
    data = picture(mode=mode)
    without("pillow", "ffprobe")
    assert assert_image(data, width=32).height == 18


@pytest.mark.parametrize("installed", [True, False])
def test_cut_and_damaged_pictures(installed, without):
    """With Pillow and without: half a file, an exchanged byte, too few lines."""
    data = picture()
    if not installed:
        without("pillow")
    for broken in (data[:-40], data[: len(data) // 2], data[:100] + b"\0\0\0\0" + data[104:]):
        with pytest.raises(AssertionError, match=r"bytes: .*(cannot be decoded|cut|damaged)"):
            assert_image(broken)
    if not installed:
        with pytest.raises(AssertionError, match="38 bytes of pixels, and not 76"):
            assert_image(png_of(b"\0" * 38, 18, 4))
        with pytest.raises(AssertionError, match="cannot be decoded"):
            assert_image(png_of(b"", 18, 4, packed=b"no zlib"))


def png_of(lines: bytes, width: int, height: int, packed: bytes = b"") -> bytes:
    """A picture in grey with just these lines."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", packed or zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_what_is_wrong_with_a_picture(tmp_path):
    """Size, type, medium, absence: each names the file and both values."""
    data = picture()
    wrong = [
        (lambda: assert_image(data, width=33), "width: 32, and 33 is wanted"),
        (lambda: assert_image(data, height=1), "height: 18, and 1 is wanted"),
        (lambda: assert_image(data, media_type="image/jpeg"), "image/png, and not image/jpeg"),
        (lambda: assert_image(sound()), "no image, but audio/wav: it begins with b'RIFF"),
        (lambda: assert_image(b"<html>"), "6 bytes: no image, but an unknown type"),
        (lambda: assert_image(tmp_path / "none.png"), r"none.png: there is no such file"),
        (lambda: assert_image(blob(data, "image/webp", tmp_path)), "made: image/png, and the artifact says image/webp"),
        (lambda: assert_image(blob(data, "image/png", tmp_path, width=64)), "width: 32, and 64 says the artifact"),
    ]
    for look, told in wrong:
        with pytest.raises(AssertionError, match=told):
            look()
    made = blob(data, "image/png", tmp_path)
    made.location.write_bytes(picture(size=(8, 8)))
    with pytest.raises(AssertionError, match="other bytes than the artifact says"):
        assert_image(made)


def test_whole_sounds(media, without):
    """MP3 and AAC by ffprobe; WAV with nothing installed."""
    assert assert_audio(media["tone.mp3"], seconds=1, media_type="audio/mpeg").codecs == ("mp3",)
    assert assert_audio(media["tone.m4a"], seconds=1, within=0.05).codecs == ("aac",)
    for name in ("tone.mp4", "tone.webm"):  # containers that films have, too
        assert assert_audio(media[name], seconds=1, media_type=f"audio/{name[5:]}").width is None
    assert assert_audio(media["float.wav"], seconds=1).codecs == ("pcm_f32le",)
    without("ffprobe")
    assert assert_audio(sound(), seconds=0.5, within=0).codecs == ("pcm, 8000 Hz",)
    with pytest.raises(AssertionError, match="to decode audio/mpeg, install ffmpeg"):
        assert_audio(media["tone.mp3"])


def test_what_is_wrong_with_a_sound(media):
    """Length, a cut file, silence where sound should be."""
    with pytest.raises(AssertionError, match=r"seconds: 0\.5, and 2 is wanted"):
        assert_audio(sound(), seconds=2)
    with pytest.raises(AssertionError, match="4000 samples are announced, and 3478 are there"):
        assert_audio(sound()[:7000])
    with pytest.raises(AssertionError, match="0 samples are announced"):
        assert_audio(sound(0))
    with pytest.raises(AssertionError, match="audio/mp4 cannot be decoded"):
        assert_audio(media["tone.m4a"][:2000])
    with pytest.raises(AssertionError, match="a film, and no sound alone"):
        assert_audio(media["film.mp4"])
    with pytest.raises(AssertionError, match="no audio, but image/png"):
        assert_audio(picture())


def test_whole_films(media, tmp_path):
    """Size, length, rate and sound track."""
    seen = assert_video(media["film.mp4"], width=64, height=36, seconds=1, sound=True, media_type="video/mp4")
    assert (seen.codecs, seen.fps) == (("h264", "aac"), 10)
    assert assert_video(media["mute.mp4"], sound=False).codecs == ("h264",)
    made = blob(media["mute.mp4"], "video/mp4", tmp_path, width=64, height=36, duration=1.0)
    assert assert_video(made).seconds == pytest.approx(1)


def test_what_is_wrong_with_a_film(media, tmp_path, without):
    """A cut film, one that says too much of itself, one with no sound, no program to look with."""
    film = media["film.mp4"]
    wrong = [
        (lambda: assert_video(film[:-2000]), "video/mp4 cannot be decoded"),
        (lambda: assert_video(film[:1500] + b"\xff" * 2000 + film[3500:]), "cannot be decoded"),
        (lambda: assert_video(film, sound=False), "the film has a sound track"),
        (lambda: assert_video(media["mute.mp4"], sound=True), "the film has no sound track"),
        (lambda: assert_video(film, seconds=5), "seconds: 1, and 5 is wanted"),
        (lambda: assert_video(blob(film, "video/mp4", tmp_path, duration=3.0)), "and 3 says the artifact"),
        (lambda: assert_video(media["tone.m4a"]), "no video, but audio/mp4"),
        (lambda: assert_video(media["tone.m4a"].replace(b"M4A ", b"isom")), "video/mp4 without video in it"),
    ]
    for look, told in wrong:
        with pytest.raises(AssertionError, match=told):
            look()
    without("ffprobe")
    with pytest.raises(
        AssertionError, match=re.escape("to decode video/mp4, install ffmpeg, of which ffprobe is a part")
    ):
        assert_video(film)


def test_pictures_of_other_kinds_need_pillow(without):
    """And the message says so."""
    data = picture("JPEG")
    without("pillow")
    with pytest.raises(AssertionError, match="to decode image/jpeg, install Pillow: pip install pillow"):
        assert_image(data)
