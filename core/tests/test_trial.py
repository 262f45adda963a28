"""What is wrong whatever upstream will give is found before anything is paid."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callsheet.errors import ConfigError
from callsheet.jobs import CallWarning, WarningKind
from callsheet.models import ModelRef, Operation
from callsheet.runs import RunRequest
from callsheet.sheet import CallSheet

SHEET = """
[inputs]
n = 2
seconds = 5
[producers.words]
operation = "text.generate"
models = ["acme:text"]
for_each = "inputs.n"
prompt = "x {{ index }}"
[producers.picture]
operation = "image.generate"
models = ["acme:picture"]
for_each = "words"
prompt = "{{ words[index] }}"
"""


async def plan(studio, text, **request):
    """The plan of a sheet of the scripted provider."""
    async with await studio.open() as client:
        return await client.plan(CallSheet.load(studio.sheet(text)), RunRequest(**request))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ('size = "large"', r"sheet.toml: producers.picture: size must be WIDTHxHEIGHT"),
        ('aspect_ratio = "{{ inputs.seconds }}"', r"producers.picture: aspect_ratio must be W:H"),
        ("count = 0", "producers.picture: count must be above 0"),
        ('count = "{{ inputs.n - index - 5 }}"', "count must be above 0"),
        (
            'images = ["words[index]"]',
            r"producers.picture.images: words\[index\] is text \(text.generate\), not a file",
        ),
        ('mask = "words[index]"', "producers.picture.mask: .* not a file"),
    ],
)
async def test_a_wrong_value_of_a_later_step_is_found_first(studio, extra, said):
    """Nothing of the earlier steps is sent."""
    with pytest.raises(ConfigError, match=said):
        await plan(studio, SHEET + extra)
    async with await studio.open() as client:
        with pytest.raises(ConfigError):
            await client.run(CallSheet.load(studio.folder))
    assert studio.acme.sent == []


@pytest.mark.parametrize(
    "extra",
    [
        'size = "{{ words[index] }}"',  # nobody knows yet what upstream says
        'count = "{{ inputs.n }}"',
        'images = ["picture_of_nobody.png"]',
        '[producers.picture.options]\nmood = "{{ words[index] }}"\ndeep = { a = ["{{ words[0] }}"] }',
    ],
)
async def test_what_may_turn_out_right_is_let_through(studio, extra):
    """Placeholders are no reason to refuse."""
    (studio.folder / "picture_of_nobody.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    made = await plan(studio, SHEET + extra)
    assert {job.state.value for job in made.jobs} == {"run", "maybe"}


async def test_the_primary_model_s_refusal_is_told_with_its_place(studio, monkeypatch):
    """What the provider's mapping refuses is refused before the run."""
    from callsheet.errors import CapabilityUnsupportedError

    handler = None

    def prepare(self, job):
        raise CapabilityUnsupportedError(f"{job.ref} draws nothing today")

    async with await studio.open() as client:
        handler = client.runtime.registry.resolve(ModelRef("acme", "picture"), Operation.IMAGE_GENERATE).handler
        monkeypatch.setattr(type(handler), "prepare", prepare)
        with pytest.raises(ConfigError, match=r"producers\.words: acme:text draws nothing today"):
            await client.plan(CallSheet.load(studio.sheet(SHEET)))


async def test_a_wish_of_a_later_step_that_is_not_granted_shows_first(studio, monkeypatch):
    """Its model's warning is in the plan, once, before anything upstream was made; under `strict` nothing is sent."""
    async with await studio.open() as client:
        ref = ModelRef("acme", "picture")
        wire = type(client.runtime.registry.resolve(ref, Operation.IMAGE_GENERATE).handler)

        def prepare(self, job, plain=wire.prepare):
            told = CallWarning(WarningKind.UNSUPPORTED, f"{job.ref} knows no seed", "seed")
            return replace(plain(self, job), warnings=(told,) if job.ref == ref else ())

        monkeypatch.setattr(wire, "prepare", prepare)
        sheet = CallSheet.load(studio.sheet(SHEET + "seed = 7"))
        made = await client.plan(sheet)
        assert [warning.message for warning in made.warnings] == ["acme:picture knows no seed"]
        with pytest.raises(ConfigError, match="knows no seed"):
            await client.run(sheet, RunRequest(strict=True))
    assert studio.acme.sent == []


async def test_a_fallback_that_cannot_take_it_is_one_warning(studio):
    """Told once, and no reason to stop."""
    text = SHEET.replace('["acme:picture"]', '["acme:picture", "acme:nothing", "nobody:x"]')
    made = await plan(studio, text)
    told = [w.message for w in made.warnings]
    assert len(told) == 2
    assert "picture: the fallback acme:nothing cannot be used" in told[0]
    assert "nobody:x" in told[1]


async def test_a_fallback_without_a_plugin_is_told_of_once_for_all_jobs(studio):
    """Not again for each job that could have used it."""
    text = SHEET.replace('["acme:text"]', '["acme:text", "nobody:x"]')
    made = await plan(studio, text)
    told = [w.message for w in made.warnings if "nobody:x" in w.message]
    assert len(told) == 1
    assert "words: the fallback nobody:x cannot be used" in told[0]


async def test_a_fan_out_of_nothing_is_not_tried(studio):
    """No index, no job, no complaint."""
    made = await plan(studio, SHEET + 'size = "large"', inputs={"n": "0"})
    assert made.jobs == ()
