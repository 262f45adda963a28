"""ElevenLabs: speech, dialogue, sound effects, music and transcription over its REST API."""

from __future__ import annotations

from collections.abc import Iterable

from callsheet.plugin import Handler, HandlerSpec, Operation, hookimpl

__all__ = ["callsheet_register_handlers"]

PROVIDER = "elevenlabs"
_SPEECH = frozenset({Operation.SPEECH_GENERATE})


@hookimpl
def callsheet_register_handlers() -> Iterable[HandlerSpec]:
    """One handler for each wire; a speech model without a row takes the one for a single voice."""
    return [
        HandlerSpec(PROVIDER, _speech, wire="speech", operations=_SPEECH),
        HandlerSpec(PROVIDER, _speech, wire="*", operations=_SPEECH),
        HandlerSpec(PROVIDER, _dialogue, wire="dialogue", operations=_SPEECH),
        HandlerSpec(PROVIDER, _sound, wire="sound", operations=frozenset({Operation.SOUND_GENERATE})),
        HandlerSpec(PROVIDER, _music, wire="music", operations=frozenset({Operation.MUSIC_GENERATE})),
        HandlerSpec(PROVIDER, _transcription, wire="transcription", operations=frozenset({Operation.AUDIO_TRANSCRIBE})),
    ]


def _speech() -> Handler:
    from callsheet_elevenlabs.speech import SpeechHandler

    return SpeechHandler()


def _dialogue() -> Handler:
    from callsheet_elevenlabs.dialogue import DialogueHandler

    return DialogueHandler()


def _sound() -> Handler:
    from callsheet_elevenlabs.sound import SoundHandler

    return SoundHandler()


def _music() -> Handler:
    from callsheet_elevenlabs.music import MusicHandler

    return MusicHandler()


def _transcription() -> Handler:
    from callsheet_elevenlabs.transcription import TranscriptionHandler

    return TranscriptionHandler()
