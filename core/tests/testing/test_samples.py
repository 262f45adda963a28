"""Sample jobs: every operation has a least job, and every other attribute has a value to try."""

from __future__ import annotations

import pytest

from callsheet.inputs import attribute_names
from callsheet.media import sniff
from callsheet.models import ModelInfo, Operation
from callsheet.testing.samples import sample_file, sample_files, sample_job, variants


@pytest.mark.parametrize("operation", Operation)
def test_every_attribute_is_tried(operation: Operation) -> None:
    """Each one is in the least job or varied, and at least one of its values makes a valid job."""
    info = ModelInfo("toy", "m", operation)
    least = sample_job(info, {})
    blank = {name for name in attribute_names(operation) if getattr(least.inputs, name) in (None, ())}
    varied = {name: (beside, values) for name, beside, values in variants(info, {})}
    assert blank <= set(varied) <= set(attribute_names(operation))
    for name, (beside, values) in varied.items():
        for value in values:
            job = sample_job(info, {}, {**beside, name: value})
            assert getattr(job.inputs, name) not in (None, ()), name


@pytest.mark.parametrize("media_type", sample_files())
def test_sample_files_are_what_they_say(media_type: str) -> None:
    """By their signature, and with the size and digest that the store will find."""
    content, file = sample_files()[media_type], sample_file(media_type)
    assert sniff(content) == media_type
    assert (file.bytes, file.media_type) == (len(content), media_type)


def test_the_author_s_values_come_last() -> None:
    """By wire, then by model; options are merged into the job's options."""
    info = ModelInfo("toy", "m", Operation.SPEECH_GENERATE, wire="speak")
    samples = {"speak": {"voice": "a", "speed": 2.0}, "m": {"voice": "b", "options": {"x": 1}}}
    job = sample_job(info, samples)
    assert (job.inputs.voice, job.inputs.speed, job.options) == ("b", 2.0, {"x": 1})
    assert "voice" not in [name for name, _, _ in variants(info, samples)]
