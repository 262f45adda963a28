"""The mock provider: plays every model of every provider, deterministically and offline."""

from __future__ import annotations

from collections.abc import Iterable

from callsheet.plugin import Handler, HandlerSpec, Operation, hookimpl

__all__ = ["callsheet_register_handlers"]

# What takes minutes at real vendors is played as a remote job with a receipt, the rest as one answer.
_LONG = frozenset({Operation.VIDEO_GENERATE, Operation.MUSIC_GENERATE, Operation.VIDEO_ASSEMBLE})


def _answers() -> Handler:
    from callsheet_mock.handlers import AnswerHandler

    return AnswerHandler()


def _jobs() -> Handler:
    from callsheet_mock.handlers import JobHandler

    return JobHandler()


@hookimpl
def callsheet_register_handlers() -> Iterable[HandlerSpec]:
    """One handler for answers and one for remote jobs: for the mock's own models, and in place of anybody's."""
    short = frozenset(Operation) - _LONG
    return [
        HandlerSpec(provider="mock", wire="answer", environment="*", factory=_answers, simulates=True),
        HandlerSpec(provider="mock", wire="job", environment="*", factory=_jobs, simulates=True),
        HandlerSpec(provider="*", environment="*", operations=short, factory=_answers, simulates=True),
        HandlerSpec(provider="*", environment="*", operations=_LONG, factory=_jobs, simulates=True),
    ]
