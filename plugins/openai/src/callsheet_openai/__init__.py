"""OpenAI: text, images, speech, transcription, embeddings, moderation and video over its REST API."""

from __future__ import annotations

from collections.abc import Iterable

from callsheet.plugin import Handler, HandlerSpec, Operation, hookimpl

__all__ = ["callsheet_register_handlers"]

PROVIDER = "openai"
_TEXT = frozenset({Operation.TEXT_GENERATE})


@hookimpl
def callsheet_register_handlers() -> Iterable[HandlerSpec]:
    """One handler for each wire; a text model without a row takes the Responses API."""
    return [
        HandlerSpec(PROVIDER, _responses, wire="responses", operations=_TEXT),
        HandlerSpec(PROVIDER, _responses, wire="*", operations=_TEXT),
        HandlerSpec(PROVIDER, _chat, wire="chat", operations=_TEXT),
        HandlerSpec(PROVIDER, _images, wire="images", operations=frozenset({Operation.IMAGE_GENERATE})),
        HandlerSpec(PROVIDER, _speech, wire="speech", operations=frozenset({Operation.SPEECH_GENERATE})),
        HandlerSpec(PROVIDER, _transcription, wire="transcription", operations=frozenset({Operation.AUDIO_TRANSCRIBE})),
        HandlerSpec(PROVIDER, _embeddings, wire="embeddings", operations=frozenset({Operation.TEXT_EMBED})),
        HandlerSpec(PROVIDER, _moderation, wire="moderation", operations=frozenset({Operation.TEXT_MODERATE})),
        HandlerSpec(PROVIDER, _video, wire="video", operations=frozenset({Operation.VIDEO_GENERATE})),
    ]


def _responses() -> Handler:
    from callsheet_openai.responses import ResponsesHandler

    return ResponsesHandler()


def _chat() -> Handler:
    from callsheet_openai.chat import ChatHandler

    return ChatHandler()


def _images() -> Handler:
    from callsheet_openai.images import ImageHandler

    return ImageHandler()


def _speech() -> Handler:
    from callsheet_openai.speech import SpeechHandler

    return SpeechHandler()


def _transcription() -> Handler:
    from callsheet_openai.transcription import TranscriptionHandler

    return TranscriptionHandler()


def _embeddings() -> Handler:
    from callsheet_openai.embeddings import EmbeddingHandler

    return EmbeddingHandler()


def _moderation() -> Handler:
    from callsheet_openai.moderation import ModerationHandler

    return ModerationHandler()


def _video() -> Handler:
    from callsheet_openai.video import VideoHandler

    return VideoHandler()
