"""Numbers within bounds and on a grid, exact in decimals."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor, lcm

from .seeds import Seed

Bounds = tuple[Fraction | None, Fraction | None]


def number(
    bounds: Bounds, open_bounds: Bounds, steps: Sequence[Fraction], seed: Seed, *, whole: bool = False, offset: int = 0
) -> int | float | None:
    """A number within inclusive and exclusive bounds, a multiple of all steps; None if there is none.

    Values that differ only in ``offset`` are neighbours on the grid, so counting it up finds them all.
    """
    step = _least_common(steps, whole=whole)
    if step is None:
        return _free(bounds, open_bounds, seed, offset)
    low, high = _multiples(bounds, open_bounds, step)
    # Without a bound on one side: up to 100, or as many multiples of a large step.
    span = max(100, int(100 / step))
    if low is None and high is None:
        low, high = 0, span
    elif low is None and high is not None:
        low = min(0, high) - (0 if high >= 0 else span)
    elif high is None and low is not None:
        high = low + span
    if low is None or high is None or low > high:
        return None
    return as_json((low + (seed.integer(0, high - low) + offset) % (high - low + 1)) * step)


def as_json(value: Fraction) -> int | float | None:
    """The number as an int when it is whole, else as the nearest float."""
    if value.denominator == 1:
        return int(value)
    try:
        return float(value)
    except OverflowError:
        return None


def _least_common(steps: Sequence[Fraction], *, whole: bool) -> Fraction | None:
    """The smallest number that is a multiple of all steps (and whole)."""
    parts = [abs(step) for step in steps] + ([Fraction(1)] if whole else [])
    if not parts:
        return None
    denominator = lcm(*(part.denominator for part in parts))
    return Fraction(lcm(*(int(part * denominator) for part in parts)), denominator)


def _multiples(bounds: Bounds, open_bounds: Bounds, step: Fraction) -> tuple[int | None, int | None]:
    """The smallest and largest factor of the step within the bounds."""
    lows = [] if bounds[0] is None else [ceil(bounds[0] / step)]
    highs = [] if bounds[1] is None else [floor(bounds[1] / step)]
    if open_bounds[0] is not None:
        lows.append(floor(open_bounds[0] / step) + 1)
    if open_bounds[1] is not None:
        highs.append(ceil(open_bounds[1] / step) - 1)
    return max(lows, default=None), min(highs, default=None)


def _free(bounds: Bounds, open_bounds: Bounds, seed: Seed, offset: int) -> int | float | None:
    """A number with few decimal places: as many as give the seed something to choose from."""
    if bounds[0] is not None and bounds[0] == bounds[1]:
        return number(bounds, open_bounds, [bounds[0]] if bounds[0] else [Fraction(1)], seed)
    for places in range(2, 340):
        step = Fraction(1, 10**places)
        low, high = _multiples(bounds, open_bounds, step)
        if low is None or high is None or high - low >= 20:
            return number(bounds, open_bounds, [step], seed, offset=offset)
    return None
