"""Automatic selection: who can do a job, who is best, what is kept, and who else may decide."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.artifacts import TextArtifact
from callsheet.client import Client
from callsheet.discovery import Discovery
from callsheet.errors import ConfigError, InvalidRequestError, OverloadedError, PluginError
from callsheet.handler import HandlerSpec
from callsheet.hookspecs import hookimpl
from callsheet.jobs import Attempt, CallWarning, Job, JobResult, ProviderRequest, WarningKind
from callsheet.models import Mode, ModelInfo, ModelRef, Operation
from callsheet.money import Cost
from callsheet.plugin_host import PluginHost
from callsheet.plugin_manifest import PluginManifest
from callsheet.policies import BreakerPolicy, Policies
from callsheet.project import Project
from callsheet.runs import RunRequest
from callsheet.secrets import Secret
from callsheet.selection import _rank, rank_reason
from callsheet.selector import Candidate, Requirements, SelectionRequest
from callsheet.settings import Settings
from callsheet.sheet import CallSheet
from callsheet.storage import CallState
from callsheet.stores.breakers import Blow, Domain

ONE = """
[producers.a]
operation = "video.generate"
models = {models}
prompt = "lava"
{more}
"""


class Studio:
    """A provider whose rows say in `data` what its models take."""

    def __init__(self, agency: Agency) -> None:
        self.agency = agency

    def prepare(self, job: Job) -> ProviderRequest:
        """Warns of what the row does not take; refuses `refuses`."""
        data: Mapping[str, Any] = job.model.data
        warnings = []
        for name in ("seed", "image", "duration"):
            value = getattr(job.inputs, name, None)
            nearest = data.get("nearest", {}).get(name)
            if value is not None and name in data.get("lacks", ()):
                warnings.append(CallWarning(WarningKind.UNSUPPORTED, f"{job.ref} takes no {name}", name))
            elif value is not None and nearest is not None:
                warnings.append(CallWarning(WarningKind.ADJUSTED, f"{job.ref} has no {name} {value}", name))
        prompt = str(getattr(job.inputs, "prompt", ""))
        if prompt in data.get("refuses", ()):
            raise InvalidRequestError(f"no {prompt} here", ref=str(job.ref))
        body = {"prompt": prompt, **job.options}
        return ProviderRequest(job.ref, job.operation, body, (), {"run": 1, "letter": len(prompt)}, tuple(warnings))

    async def invoke(self, request: ProviderRequest, context: Any) -> JobResult:
        """A text that names the model, unless it is down."""
        self.agency.sent.append(str(request.ref))
        if str(request.ref) in self.agency.down:
            raise OverloadedError("too much to do", ref=str(request.ref))
        return JobResult((TextArtifact(f"by {request.ref}, {request.body.get('grain', 'plain')}"),))


class Plugin:
    """One provider's plugin object."""

    def __init__(self, agency: Agency, provider: str, *, simulates: bool = False) -> None:
        self.spec = HandlerSpec(provider=provider, factory=lambda: Studio(agency), simulates=simulates)

    @hookimpl
    def callsheet_register_handlers(self) -> Iterable[HandlerSpec]:
        """One handler for everything."""
        return [self.spec]


@dataclass
class Agency:
    """Two providers, `north` and `south`, each with a key, and `stand` which makes things up; a project to use them in."""

    folder: Path
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"north": [], "south": []})
    keys: set[str] = field(default_factory=lambda: {"NORTH_KEY", "SOUTH_KEY"})
    broken: set[str] = field(default_factory=set)
    plugins: list[Any] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    down: set[str] = field(default_factory=set)

    def model(self, name: str, usd: float | None = None, per: str = "run", **row: Any) -> None:
        """Add a row, by `provider:model`."""
        provider, _, model = name.partition(":")
        price = [{"per": per, "usd": usd, "as_of": "2026-11-01", "source": "x"}] if usd is not None else []
        self.rows[provider].append({"model": model, "operation": "video.generate", "price": price, **row})

    async def get(self, name: str) -> Secret | None:
        """The key, if there is one; a broken key breaks."""
        if name in self.broken:
            raise PluginError(f"the vault of {name} is closed")
        return Secret(f"{name}-long-enough") if name in self.keys else None

    def open(self, **options: Any) -> Any:
        """A client, to be awaited."""
        extra = [
            (name, Plugin(self, name), _manifest(name, self.rows[name], secrets=[f"{name.upper()}_KEY"]))
            for name in ("north", "south")
        ]
        made_up = {"model": "in", "operation": "video.generate"}
        extra.append(
            ("stand", Plugin(self, "*", simulates=True), _manifest("stand", [made_up], top={"simulates": True}))
        )
        host = PluginHost(Discovery(), extra=[*extra, *self.plugins])
        settings = Settings(policies=Policies.once(), aliases={"any": "auto:video.generate"})
        return Client.open(Project.at(self.folder), settings, host=host, secrets=self, **options)

    def sheet(self, models: str = '["auto:video.generate"]', more: str = "") -> CallSheet:
        """One producer `a`."""
        (self.folder / "sheet.toml").write_text(ONE.format(models=models, more=more), encoding="utf-8")
        return CallSheet.load(self.folder)

    async def choice(self, models: str = '["auto:video.generate"]', more: str = "", **options: Any) -> Any:
        """What a plan of that sheet chooses."""
        async with await self.open(**options) as client:
            return (await client.plan(self.sheet(models, more))).selections[0]


def _manifest(provider: str, rows: list[dict[str, Any]], top: Any = None, **table: Any) -> PluginManifest:
    data = {"api": 1, "provider": {"name": provider, **table}, "models": rows, **(top or {})}
    return PluginManifest.parse(data, f"{provider}/plugin.toml", provider)


@pytest.fixture
def agency(tmp_path: Path) -> Agency:
    """Without any models."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Agency(folder)


def refs(selection: Any) -> list[str]:
    """All that can do it, the best first."""
    return [str(each.ref) for each in selection.ranked]


@pytest.mark.parametrize(
    ("entry", "more", "row", "reason"),
    [
        ('needs = ["first_frame"]', "", {}, "has no first_frame"),
        ("", "seed = 4", {"data": {"lacks": ["seed"]}}, "takes no seed"),
        ("", "duration = 10", {"data": {"nearest": {"duration": 8}}}, "has no duration 10"),
        ("", "", {"data": {"refuses": ["lava"]}}, "no lava here"),
        ("max_price = 0.05", "", {"usd": 0.06}, "max_price: it costs $0.06, more than $0.05"),
        ("max_price = 0.05", "", {}, "max_price: its price is not known (no price is on record"),
        ("context = 9000", "", {"data": {"context": 8000}}, "context: it takes 8,000 tokens, fewer than 9,000"),
        ("context = 9000", "", {}, "context: how many tokens it takes is not known"),
        ("", f'options = {{ notes = "{"ash " * 40}" }}', {"data": {"context": 20}}, "and the job has 2"),
    ],
)
async def test_a_model_that_cannot_do_the_job_is_out(agency, entry, more, row, reason):
    """The reason is told, and the one that can do it is chosen although it costs more."""
    agency.model("north:a", **row)
    agency.model(
        "south:b",
        **({"usd": 0.05} if "max_price" in entry else {"usd": 9.0}),
        capabilities=["first_frame"],
        data={"context": 9000},
    )
    entry = f", {entry}" if entry else ""
    made = await agency.choice(f'[{{ ref = "auto:video.generate"{entry} }}]', more)
    assert refs(made) == ["south:b"]
    assert [(str(each.ref), reason in each.reason) for each in made.refused] == [("north:a", True)]


async def test_an_attribute_that_the_row_maps_meets_a_need(agency):
    """As a capability does."""
    agency.model("north:a", inputs={"last_frame": "end"})
    agency.model("south:b")
    assert refs(await agency.choice('[{ ref = "auto:video.generate", needs = ["last_frame"] }]')) == ["north:a"]


@pytest.mark.parametrize(
    ("worse", "better", "reason"),
    [
        ({"usd": 2}, {"usd": 1}, "it costs more"),
        ({}, {"usd": 1}, "its price is not known"),
        ({"usd": 1, "deprecated": "ends soon"}, {"usd": 2}, "it is deprecated: ends soon"),
        ({"usd": 1, "data": {"nearest": {"seed": 1}}}, {"usd": 2}, "it takes seed in its own way"),
        ({"usd": 1}, {"usd": 1, "tier": "verified"}, "it is community, not verified"),
    ],
)
async def test_the_better_model_comes_first(agency, worse, better, reason):
    """Whatever its name; and the rank is told."""
    agency.model("north:a", **worse)
    agency.model("south:b", **better)
    made = await agency.choice(more="seed = 3")
    assert refs(made) == ["south:b", "north:a"]
    assert rank_reason(made.ranked[1], made.ranked[0]).startswith(reason)
    assert rank_reason(made.ranked[0], made.ranked[0]) == ""


async def test_price_is_that_of_the_job(agency):
    """A model with the lower price for each letter is dearer for a long text."""
    agency.model("north:each", 0.001, per="letter")
    agency.model("south:flat", 0.1)
    async with await agency.open() as client:
        short = await client.call("auto:video.generate", prompt="x" * 10)
        long = await client.call("auto:video.generate", prompt="x" * 1000)
    assert [short.artifacts[0].text, long.artifacts[0].text] == ["by north:each, plain", "by south:flat, plain"]


async def test_a_price_that_upstream_decides_does_not_meet_a_bound(agency):
    """Nobody knows how long the text will be; a price for the whole is known."""
    agency.model("north:each", 0.00001, per="letter")
    agency.model("south:flat", 0.1)
    sheet = agency.sheet('[{ ref = "auto:video.generate", max_price = 0.5 }]')
    text = sheet.source.read_text().replace('"lava"', '"{{ b }}"')
    (agency.folder / "sheet.toml").write_text(
        text + '[producers.b]\noperation="video.generate"\nmodels=["south:flat"]\nprompt="x"\npin="b.txt"'
    )
    (agency.folder / "b.txt").write_text("long")
    async with await agency.open() as client:
        made = (await client.plan(CallSheet.load(agency.folder))).selections[0]
    assert refs(made) == ["south:flat"]
    assert made.refused[0].reason == "max_price: its price depends on what upstream gives"


async def test_what_fails_just_now_comes_last_until_its_time_has_come(agency):
    """The breaker is open: another one is taken; once a probe is due, the model is as good as any."""
    agency.model("north:a", 1)
    agency.model("south:b", 2)
    policy = BreakerPolicy(failures=1, cooldown=1000)
    blow = Blow(Domain("model", "north:a"), "north", "overloaded", "too much", time.time(), at_once=True)
    async with await agency.open() as client:
        await client.ledger.breakers.failed(blow, policy)
        failing = (await client.plan(agency.sheet())).selections[0]
        await client.ledger.breakers.reset("north")
        long_ago = Blow(blow.domain, "north", "overloaded", "too much", time.time() - 20_000, at_once=True)
        await client.ledger.breakers.failed(long_ago, policy)
        due = (await client.plan(agency.sheet())).selections[0]
    assert refs(failing) == ["south:b", "north:a"]
    assert rank_reason(*reversed(failing.ranked)) == "the model north:a fails (overloaded)"
    assert refs(due) == ["north:a", "south:b"]


async def test_a_busy_provider_comes_after_one_that_is_free(agency):
    """Its requests stand in line for longer than it is worth; a short line does not count."""
    agency.model("north:a", 1)
    agency.model("south:b", 2)
    async with await agency.open() as client:
        now = time.time()
        await client.ledger.gates.reserve("north", 9.0, [0.0], now)
        short = (await client.plan(agency.sheet())).selections[0]
        await client.ledger.gates.reserve("north", 100.0, [0.0], now)
        long = (await client.plan(agency.sheet())).selections[0]
    assert refs(short) == ["north:a", "south:b"]
    assert refs(long) == ["south:b", "north:a"]
    assert rank_reason(*reversed(long.ranked)).startswith("its provider is busy: the next request leaves in 1")


async def took(client: Client, ref: str, key: str, seconds: float, request: Mapping[str, object]) -> None:
    """A call of a model that took so long, on record."""
    mine = client.ledger
    claim = await mine.claim(
        key, ref=ref, operation="video.generate", job="a", run="", request_digest="", request=request
    )
    attempt = Attempt(ModelRef.parse(ref), 1, 1000.0, 1000.0 + seconds, "succeeded")
    await mine.advance(key, claim.record.epoch, CallState.SENDING)
    result = JobResult((TextArtifact("x"),))
    await mine.advance(key, claim.record.epoch, CallState.SUCCEEDED, result=result, attempt=attempt)


async def test_the_faster_of_two_equals_is_taken(agency):
    """By the median of what this project saw live; a mocked call says nothing."""
    agency.model("north:a", 1)
    agency.model("north:b", 1)
    agency.model("north:c", 1)
    async with await agency.open() as client:
        for number, seconds in enumerate((1.0, 100.0, 9.0)):
            await took(client, "north:b", f"b{number}", seconds, {})
        await took(client, "north:c", "c", 4.0, {})
        await took(client, "north:a", "a", 0.1, {"mode": "mock"})
        made = (await client.plan(agency.sheet())).selections[0]
    assert [(str(each.ref), each.seconds) for each in made.ranked] == [
        ("north:c", 4.0),
        ("north:b", 9.0),
        ("north:a", None),
    ]
    assert rank_reason(made.ranked[1], made.ranked[0]) == "it takes longer"


async def test_a_model_without_a_key_is_out_while_another_has_one(agency):
    """And no fallback either; with no key at all the plan is as if all were there, and the run says what it needs."""
    agency.model("north:a", 1)
    agency.model("south:b", 2)
    agency.keys = {"SOUTH_KEY"}
    made = await agency.choice()
    assert refs(made) == ["south:b"]
    assert "NORTH_KEY" in made.refused[0].reason
    agency.keys = set()
    async with await agency.open() as client:
        sheet = agency.sheet()
        assert refs((await client.plan(sheet)).selections[0]) == ["north:a", "south:b"]
        with pytest.raises(ConfigError, match="NORTH_KEY"):
            await client.run(sheet)
        assert await client.ledger.selection("sheet.toml#auto") == {}


async def test_a_key_that_cannot_be_asked_for_is_none(agency):
    """A vault that is closed keeps nobody from taking another provider."""
    agency.model("north:a", 1)
    agency.model("south:b", 2)
    agency.broken = {"NORTH_KEY"}
    made = await agency.choice()
    assert refs(made) == ["south:b"]
    assert made.refused[0].reason == "the vault of NORTH_KEY is closed"


async def test_a_later_run_keeps_the_model(agency):
    """A cheaper one that came meanwhile is not paid for, until the selection is reset; no key is needed for what is there."""
    agency.model("north:a", 2)
    async with await agency.open() as client:
        first = await client.run(agency.sheet())
    agency.model("south:b", 1)
    agency.keys = {"SOUTH_KEY"}
    async with await agency.open() as client:
        plan = await client.plan(agency.sheet())
        again = await client.run(agency.sheet())
        assert agency.sent == ["north:a"]
        reset = await client.run(agency.sheet(), RunRequest(reset_selection=True))
        last = await client.plan(agency.sheet())
    assert first.notes == ("a uses north:a, chosen for auto:video.generate; `callsheet plan --why` says why",)
    assert again.notes == (
        "a uses north:a, chosen for auto:video.generate by an earlier run; --reset-selection chooses anew",
    )
    assert (plan.selections[0].by, refs(plan.selections[0])) == ("kept", ["north:a", "south:b"])
    assert [job.state.value for job in plan.jobs] == ["cached"]
    assert agency.sent == ["north:a", "south:b"]
    assert reset.status == "succeeded"
    assert refs(last.selections[0]) == ["south:b"]


async def test_a_kept_model_that_cannot_do_it_any_more_is_left(agency):
    """The run says what became of it, and the new choice is kept."""
    agency.model("north:a", 1)
    agency.model("south:b", 2, capabilities=["audio"])
    async with await agency.open() as client:
        await client.run(agency.sheet())
        run = await client.run(agency.sheet('[{ ref = "auto:video.generate", needs = ["audio"] }]'))
        back = await client.plan(agency.sheet())
    assert run.notes[1] == "a: north:a, chosen by an earlier run, is out: has no audio"
    assert refs(back.selections[0])[0] == "south:b"


async def test_a_fallback_that_was_paid_for_is_used_again(agency):
    """Also when another model would be the fallback by now."""
    agency.model("north:a", 1)
    agency.model("north:b", 2)
    agency.down = {"north:a"}
    async with await agency.open() as client:
        await client.run(agency.sheet())
    assert agency.sent == ["north:a", "north:b"]
    for number in range(4):
        agency.model(f"south:{number}", 1.5)
    async with await agency.open() as client:
        again = await client.run(agency.sheet())
    assert agency.sent == ["north:a", "north:b"]
    assert [outcome.status.value for outcome in again.outcomes.values()] == ["reused"]


async def test_no_more_than_three_others_are_asked(agency):
    """Each may cost as much as the first."""
    for number in range(6):
        agency.model(f"north:{number}", number)
    agency.down = {f"north:{number}" for number in range(6)}
    async with await agency.open() as client:
        run = await client.run(agency.sheet())
    assert agency.sent == ["north:0", "north:1", "north:2", "north:3"]
    assert run.status == "failed"


async def test_a_mocked_run_needs_no_key_and_decides_nothing_for_a_live_one(agency):
    """Else the live run would want a key that is not there."""
    agency.model("north:a", 1)
    agency.model("south:b", 2)
    agency.keys = {"SOUTH_KEY"}
    async with await agency.open() as client:
        mocked = await client.plan(agency.sheet(), RunRequest(mode=Mode.MOCK))
        await client.run(agency.sheet(), RunRequest(mode=Mode.MOCK))
        hybrid = await client.run(agency.sheet(), RunRequest(mock=frozenset({"a"})))
        live = await client.plan(agency.sheet())
    assert refs(mocked.selections[0]) == ["north:a", "south:b", "stand:in"]
    assert hybrid.status == "succeeded"
    assert refs(live.selections[0]) == ["south:b"]


async def test_what_makes_things_up_is_chosen_only_by_name(agency):
    """A live run that asks for anybody never gets it."""
    with pytest.raises(ConfigError, match="there is no model for it here"):
        await agency.choice()
    assert refs(await agency.choice('[{ ref = "auto:video.generate", providers = ["stand"] }]')) == ["stand:in"]


async def test_a_run_that_goes_on_keeps_its_own_choice(agency):
    """Although the selection was reset meanwhile."""
    agency.model("north:a", 1)
    agency.down = {"north:a"}
    async with await agency.open() as client:
        run = await client.run(agency.sheet())
        agency.down = set()
    agency.model("south:b", 0.5)
    async with await agency.open() as client:
        await client.ledger.clear_selection("sheet.toml#auto")
        resumed = await client.resume(run.id)
    assert agency.sent == ["north:a", "north:a"]
    assert resumed.status == "succeeded"


async def test_auto_among_named_models(agency):
    """It is a fallback where it stands, and nobody is asked twice."""
    agency.model("north:a", 1)
    agency.model("south:b", 2)
    async with await agency.open() as client:
        plan = await client.plan(agency.sheet('["south:b", "auto:video.generate"]'))
    assert (plan.jobs[0].ref, plan.jobs[0].fallbacks) == ("south:b", ("north:a",))


async def test_nothing_is_chosen_where_nothing_is_made(agency):
    """A pinned producer needs no model at all, and one that is made no times takes any."""
    (agency.folder / "a.txt").write_text("made before")
    async with await agency.open() as client:
        assert (await client.plan(agency.sheet(more='pin = "a.txt"'))).selections == ()
    agency.model("north:a", 1)
    assert refs(await agency.choice(more="for_each = 0")) == ["north:a"]


async def test_what_is_to_go_by_batch_counts_at_the_price_of_a_batch(studio):
    """And a model without batches comes later."""
    text = '[producers.a]\noperation = "text.generate"\nmodels = ["auto:text.generate"]\nprompt = "x"\n'
    async with await studio.open() as client:
        plan = await client.plan(CallSheet.load(studio.sheet(text + 'dispatch = "batch"')))
    made = {str(each.ref): each for each in plan.selections[0].ranked}
    assert (plan.jobs[0].ref, plan.jobs[0].dispatch) == ("acme:batch-priced", "batch")
    assert str(made["acme:batch-priced"].cost) == "$0.125"
    assert made["acme:priced"].adjusted == ("dispatch",)


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        ('["auto:image.generate"]', "auto:image.generate does not go with the operation video.generate"),
        ('["auto:video.generat"]', "there is no operation 'video.generat'; did you mean auto:video.generate?"),
        ('[{ ref = "north:a", needs = ["x"] }]', "go with auto:OPERATION, and north:a is one model"),
        ('[{ ref = "auto:video.generate", providers = ["west"] }]', "there is no west here; there are north, south"),
        ('[{ ref = "auto:video.generate", needs = "audio" }]', r"models\[0\].needs: wants a list of names"),
        ('[{ ref = "auto:video.generate", max_price = -1 }]', "wants US dollars for one call, got -1"),
        ('[{ ref = "auto:video.generate", max_price = nan }]', "NaN|nan"),
        ('[{ ref = "auto:video.generate", need = ["x"] }]', "did you mean 'needs'"),
        ('[{ ref = "auto:video.generate", needs = ["x"] }]', "no model can do this:\n- north:a: has no x"),
    ],
)
async def test_a_wrong_entry_is_told(agency, models, problem):
    """Before anything is sent."""
    agency.model("north:a", 1)
    with pytest.raises(ConfigError, match=problem):
        await agency.choice(models)


async def test_an_alias_may_stand_for_a_choice(agency):
    """As it may for any reference; `--model` too."""
    agency.model("north:a", 1)
    async with await agency.open() as client:
        plan = await client.plan(agency.sheet('["any"]'))
        chosen = await client.plan(agency.sheet('["south:gone"]'), RunRequest(models={"a": "auto:video.generate"}))
    assert (plan.jobs[0].ref, chosen.jobs[0].ref) == ("north:a", "north:a")


async def test_options_go_to_whoever_is_asked(agency):
    """They were tried with them."""
    agency.model("north:a", 1)
    agency.model("south:b", 2)
    agency.down = {"north:a"}
    async with await agency.open() as client:
        done = await client.call("auto:video.generate", prompt="x", options={"grain": "fine"})
    assert done.artifacts[0].text == "by south:b, fine"


async def test_a_call_has_requirements_too(agency):
    """And a named model has none; a batch wants a name."""
    agency.model("north:a", 1)
    agency.model("south:b", 2)
    async with await agency.open() as client:
        done = await client.call("auto:video.generate", prompt="x", require=Requirements(providers=("south",)))
        with pytest.raises(ConfigError, match="max_price: it costs"):
            await client.call("auto:video.generate", prompt="x", require=Requirements(max_price=Decimal("0.5")))
        with pytest.raises(ConfigError, match="north:a is one model"):
            await client.call("north:a", prompt="x", require=Requirements(needs=("x",)))
        with pytest.raises(ConfigError, match="here one has to be named"):
            await client.batch("auto:video.generate", [{"prompt": "x"}], operation="video.generate")
    assert done.artifacts[0].text == "by south:b, plain"


def dearest(request: SelectionRequest, candidates: Any) -> Any:
    """A selector."""
    assert request.name == "a"
    return sorted(candidates, key=lambda each: each.cost.high, reverse=True)


async def test_the_program_s_own_selector_decides(agency):
    """About those that can do it; None leaves it to the rank."""
    agency.model("north:a", 1)
    agency.model("south:b", 2)
    agency.model("south:c", 3, data={"refuses": ["lava"]})
    made = await agency.choice(selector=dearest)
    assert (made.by, refs(made)) == ("selector", ["south:b", "north:a"])
    assert refs(await agency.choice(selector=lambda _, candidates: [candidates[1].ref])) == ["south:b"]
    left = await agency.choice(selector=lambda *_: None)
    assert (left.by, refs(left)) == ("rank", ["north:a", "south:b"])


async def test_a_selector_that_is_wrong_is_told(agency):
    """Nobody is called who cannot do it."""
    agency.model("north:a", 1)
    with pytest.raises(PluginError, match="chose south:z, which is not among the candidates: north:a"):
        await agency.choice(selector=lambda *_: [ModelRef("south", "z")])
    with pytest.raises(ConfigError, match="wants none of north:a"):
        await agency.choice(selector=lambda *_: [])


def selecting(name: str, *selectors: Any) -> Any:
    """A plugin that brings selectors."""

    class Chooser:
        @hookimpl
        def callsheet_register_selectors(self) -> Any:
            return selectors

    return name, Chooser(), _manifest(name, [], top={"provides": ["selectors"]})


async def test_the_first_plugin_that_answers_decides(agency):
    """The others are not asked."""
    agency.model("north:a", 1)
    agency.model("south:b", 2)
    agency.plugins = [selecting("one", lambda *_: None), selecting("two", dearest, lambda *_: 1 / 0)]
    made = await agency.choice()
    assert (made.by, refs(made)) == (f"{__name__}.dearest", ["south:b", "north:a"])
    agency.plugins = [selecting("three", lambda *_: 1 / 0)]
    with pytest.raises(PluginError, match=r"the selector .*lambda.* fails: ZeroDivisionError"):
        await agency.choice()


CANDIDATES = st.builds(
    lambda name, usd, seconds, failing, old, adjusted, tier, simulated, busy: Candidate(
        ModelRef("p", name),
        ModelInfo("p", name, Operation.VIDEO_GENERATE, deprecated=old, tier=tier),
        Cost.unknown("nobody knows") if usd is None else Cost.exactly(usd),
        seconds,
        failing,
        adjusted,
        simulated,
        busy,
    ),
    st.text("ab", min_size=1, max_size=4),
    st.none() | st.integers(0, 2),
    st.none() | st.floats(0, 2),
    st.sampled_from(["", "the host fails"]),
    st.sampled_from(["", "ends soon"]),
    st.sampled_from([(), ("seed",)]),
    st.sampled_from(["verified", "community"]),
    st.booleans(),
    st.sampled_from([0.0, 5.0, 60.0]),
)


@given(st.lists(CANDIDATES, min_size=2, max_size=8, unique_by=lambda each: each.ref), st.randoms())
def test_the_rank_has_no_ties_and_a_reason_for_each_place(candidates, chance: random.Random):
    """In whatever order the rows come, the order is the same; and of two, exactly one is behind the other."""
    ranked = sorted(candidates, key=_rank)
    shuffled = list(candidates)
    chance.shuffle(shuffled)
    assert sorted(shuffled, key=_rank) == ranked
    for better, worse in pairwise(ranked):
        assert rank_reason(worse, better)
        assert rank_reason(better, ranked[0]) or better is ranked[0]


def test_no_provider_is_called_auto():
    """Its models could not be named."""
    with pytest.raises(PluginError, match="name must not be auto"):
        _manifest("auto", [])
