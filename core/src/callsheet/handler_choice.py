"""Which of a plugin's handlers fits a model: by provider, wire, environment and operation, the most specific first."""

from __future__ import annotations

from collections.abc import Iterable

from callsheet.errors import PluginError
from callsheet.handler import HandlerSpec
from callsheet.models import ModelRef, Operation

__all__ = ["choose_spec", "sole_operation", "wires_of"]

ANY = "*"


def choose_spec(
    specs: Iterable[HandlerSpec], *, ref: ModelRef, operation: Operation, wire: str, plugin: str
) -> HandlerSpec | None:
    """The most specific spec that fits, or None. A name counts more than `*`: provider, then wire, then environment.

    A model without a wire takes the handler for any wire, else the only one there is for its operation. Raises
    PluginError (of `plugin`) when two specs fit equally well.
    """
    fitting = [
        spec
        for spec in specs
        if spec.provider in (ref.provider, ANY)
        and spec.environment in (ref.environment, ANY)
        and operation in spec.operations
        and (not wire or spec.wire in (wire, ANY))
    ]
    if not fitting:
        return None
    ranked = sorted(fitting, key=lambda spec: _rank(spec, wire), reverse=True)
    best = [spec for spec in ranked if _rank(spec, wire) == _rank(ranked[0], wire)]
    if len(best) > 1:
        wires = " and ".join(repr(spec.wire) for spec in best)
        remedy = "the model's row must say which wire" if not wire else "it must register one for each wire"
        raise PluginError(f"{plugin} has several handlers of {ref} for {operation} ({wires}): {remedy}", plugin=plugin)
    return best[0]


def sole_operation(specs: Iterable[HandlerSpec], wire: str) -> Operation | None:
    """What these specs do, where it is one thing only; of a wire, those that name it count before those of any."""
    fitting = [spec for spec in specs if not wire or spec.wire in (wire, ANY)]
    named = [spec for spec in fitting if wire and spec.wire == wire]
    operations = {operation for spec in named or fitting for operation in spec.operations}
    return operations.pop() if len(operations) == 1 else None


def _rank(spec: HandlerSpec, wire: str) -> tuple[bool, bool, bool, int]:
    named_wire = spec.wire == wire if wire else spec.wire in (ANY, "")
    return (spec.provider != ANY, named_wire, spec.environment != ANY, -len(spec.operations))


def wires_of(specs: Iterable[HandlerSpec], operation: Operation) -> list[str]:
    """The wires that these specs have for an operation, for messages."""
    return sorted({spec.wire for spec in specs if operation in spec.operations})
