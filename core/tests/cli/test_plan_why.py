"""`callsheet plan --why`, and `auto:` on the command line."""

from __future__ import annotations

import pytest

from callsheet.models import Operation

SHEET = """
[producers.still]
operation = "image.generate"
models = ["auto:image.generate"]
prompt = "lava"
"""


@pytest.fixture
def honest(toy):
    """The toy does not make things up, and has a second image model without a price."""
    manifest = toy / "plugin.toml"
    text = manifest.read_text().replace("simulates = true\n", "")
    rows = '[[models]]\nmodel = "sketch"\noperation = "image.generate"\n'
    rows += '[[models]]\nmodel = "mute"\noperation = "image.generate"\ncapabilities = ["silence"]\n'
    manifest.write_text(text + rows)
    code = toy / "__init__.py"
    code.write_text(
        code.read_text().replace(", simulates=True", "").replace('HandlerSpec("*", Toy, operations=short),', "")
    )
    return toy


def test_why_says_who_was_chosen_and_who_was_not(cli, sheet, honest, monkeypatch):
    """A line for each model, with its price."""
    monkeypatch.setenv("TOY_KEY", "a-key-of-the-toy")
    ended = cli("plan", sheet(SHEET), "--why")
    assert ended.code == 0
    lines = ended.out.splitlines()
    start = lines.index("still: auto:image.generate")
    assert [line.split() for line in lines[start + 1 : start + 3]] == [
        ["model", "choice", "price", "seconds", "why"],
        ["toy:image", "chosen", "$0.03", "the", "best", "that", "can", "do", "it"],
    ]
    assert "toy:mute    fallback 1  unknown           its price is not known: no price is on record" in ended.out
    assert "note: still uses toy:image, chosen for auto:image.generate" in ended.err


def test_why_as_json(cli, sheet, honest, monkeypatch):
    """With the reason for a refusal; without --why it is left out."""
    monkeypatch.setenv("TOY_KEY", "a-key-of-the-toy")
    entry = '[{ ref = "auto:image.generate", needs = ["silence"] }]'
    folder = sheet(SHEET.replace('["auto:image.generate"]', entry))
    made = cli("plan", folder, "--why", "--json").document["selections"]
    assert [(each["producer"], each["asked"], each["by"], each["lost"]) for each in made] == [
        ("still", "auto:image.generate", "rank", "")
    ]
    cost = {"usd": None, "reason": "no price is on record for this model"}
    mute = {"ref": "toy:mute", "choice": "chosen", "why": "the best that can do it", "cost": cost, "seconds": None}
    refused = {"choice": "no", "why": "has no silence", "cost": None, "seconds": None}
    assert made[0]["candidates"] == [mute, {"ref": "toy:image", **refused}, {"ref": "toy:sketch", **refused}]
    assert "selections" not in cli("plan", folder, "--json").document


def test_a_kept_choice_is_told_as_such(cli, sheet, honest, monkeypatch):
    """After a run; the command that is proposed needs no --why."""
    monkeypatch.setenv("TOY_KEY", "a-key-of-the-toy")
    folder = sheet(SHEET)
    assert cli("run", folder).code == 0
    ended = cli("plan", folder, "--why")
    assert "an earlier run chose it" in ended.out
    assert "chosen for auto:image.generate by an earlier run; --reset-selection chooses anew" in ended.err


def test_a_call_has_its_model_chosen(cli, honest, monkeypatch):
    """The document names the one that answered."""
    monkeypatch.setenv("TOY_KEY", "a-key-of-the-toy")
    ended = cli("call", "auto:image.generate", "-p", "prompt=x", "--json")
    assert (ended.document["ref"], ended.document["operation"]) == ("toy:image", "image.generate")


@pytest.mark.parametrize("ref", ["auto:image.generat", "auto:toy"])
def test_an_unknown_operation_is_told(cli, toy, ref):
    """Not that no plugin provides `auto`."""
    ended = cli("call", ref, "-p", "prompt=x")
    assert ended.code == 2
    assert "there is no operation" in ended.err
    assert any(each.value in ended.err for each in Operation)


def test_a_chat_wants_one_model(cli, toy):
    """Else every answer could come from another one."""
    ended = cli("chat", "auto:text.generate")
    assert ended.code == 2
    assert "here one has to be named" in ended.err
