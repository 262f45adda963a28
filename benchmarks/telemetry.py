"""Telemetry: what it adds to a call, its job and its attempt together, by what the program has imported."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Clock, Figure, limit, module_child
from benchmarks.studio import open_client
from callsheet.inputs import parse_inputs
from callsheet.jobs import Job, JobResult, Usage
from callsheet.models import Mode, ModelRef, Operation
from callsheet.money import Cost
from callsheet.telemetry import Telemetry

__all__ = ["figures"]

CALLS = 20_000
ROUNDS = 5
WAYS = {
    "nothing": ("OpenTelemetry not imported by the program", 30e-6),
    "api": ("its API imported, no SDK configured", 30e-6),
    "sdk": ("spans and metrics recorded by the SDK, not exported", None),
}


async def measure(way: str) -> float:
    """CPU seconds a call."""
    with tempfile.TemporaryDirectory() as name:
        async with await open_client(Path(name), durable=False) as client:
            bound = client.runtime.registry.resolve(ModelRef.parse("idle:text"), Operation.TEXT_GENERATE, Mode.LIVE)
    inputs = parse_inputs(Operation.TEXT_GENERATE, {"prompt": "lava"}, "bench")
    job = Job("call", bound.ref, bound.info, Operation.TEXT_GENERATE, inputs)
    result = JobResult((), Usage(input_tokens=10, output_tokens=100))
    _prepare(way)
    telemetry = Telemetry()
    best = float("inf")
    for _ in range(ROUNDS):
        clock = Clock()
        for number in range(CALLS):
            with telemetry.job(job) as whole:
                with telemetry.attempt(bound, job, number) as attempt:
                    attempt.gave(result, Cost.exactly("0.01"))
                whole.tell(ref="idle:text", reused=False)
        best = min(best, clock.lap() / CALLS)
    return best


def _prepare(way: str) -> None:
    if way == "nothing":
        return
    from opentelemetry import metrics, trace

    if way == "sdk":
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider

        trace.set_tracer_provider(TracerProvider())
        metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))


async def by_hand() -> float:
    """CPU seconds of two spans and four measurements, with the SDK's own calls."""
    _prepare("sdk")
    from opentelemetry import metrics, trace

    tracer, meter = trace.get_tracer("hand"), metrics.get_meter("hand")
    seconds, tokens, cost = meter.create_histogram("s"), meter.create_histogram("t"), meter.create_counter("c")
    marks = dict.fromkeys("abcd", "value")
    about = {**marks, **{f"more {number}": "value" for number in range(8)}}
    best = float("inf")
    for _ in range(ROUNDS):
        clock = Clock()
        for _ in range(CALLS):
            with (
                tracer.start_as_current_span("job", attributes=marks),
                tracer.start_as_current_span("chat", attributes=about),
            ):
                seconds.record(1.0, marks)
                tokens.record(10, marks)
                tokens.record(100, marks)
                cost.add(0.01, marks)
        best = min(best, clock.lap() / CALLS)
    return best


def figures() -> Iterator[Figure]:
    """Rows for the table."""
    for way, (how, most) in WAYS.items():
        cost, what = module_child("telemetry", way), f"telemetry of a call (a job, an attempt), {how}"
        if most is not None:
            yield Figure(what, f"{cost * 1e6:.1f} µs", budget=f"≤ {most * 1e6:.0f} µs", holds=limit(cost, most))
            continue
        hand = module_child("telemetry", "hand")
        yield Figure(what, f"{cost * 1e6:.0f} µs", f"by hand {hand * 1e6:.0f} µs", cost / hand)


if __name__ == "__main__":
    import asyncio

    print(json.dumps(asyncio.run(by_hand() if sys.argv[1] == "hand" else measure(sys.argv[1]))))
