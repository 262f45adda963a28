"""A made-up vendor with everything: answers, streams, batches, and pictures as remote jobs."""

from callsheet.plugin import HandlerSpec, Operation, hookimpl


def _answers():
    from callsheet_brook.answers import Answers

    return Answers()


def _vectors():
    from callsheet_brook.answers import Vectors

    return Vectors()


def _pictures():
    from callsheet_brook.pictures import Pictures

    return Pictures()


@hookimpl
def callsheet_register_handlers():
    """One handler for each wire."""
    return [
        HandlerSpec("brook", _answers, wire="answers", operations=frozenset({Operation.TEXT_GENERATE})),
        HandlerSpec("brook", _vectors, wire="vectors", operations=frozenset({Operation.TEXT_EMBED})),
        HandlerSpec("brook", _pictures, wire="pictures", operations=frozenset({Operation.IMAGE_GENERATE})),
    ]
