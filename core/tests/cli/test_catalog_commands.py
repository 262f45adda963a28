"""`callsheet models`, `model show` and `plugins list`."""

from __future__ import annotations

import sys


def test_models_without_importing_the_plugin(cli, toy):
    """The list comes from manifests alone."""
    ended = cli("models")
    assert ended.code == 0
    assert [line.split()[:2] for line in ended.out.splitlines()[1:]] == [
        ["toy:image", "image.generate"],
        ["toy:text", "text.generate"],
        ["toy:video", "video.generate"],
    ]
    assert "callsheet_toy" not in sys.modules


def test_models_filters_and_json(cli, toy):
    """Each filter narrows the list; JSON has the prices with date and source."""
    for args in (["-o", "text.generate"], ["--capability", "json_schema"], ["toy", "text"], ["toytext"]):
        rows = cli("models", *args, "--json").document["models"]
        assert [row["ref"] for row in rows] == ["toy:text"]
    price = {"per": "run", "usd": "0.02", "as_of": "2026-08-01", "source": "toy.test/pricing"}
    assert rows[0]["price"] == [price]
    assert cli("models", "--provider", "none", "--json").document == {"models": [], "problems": []}
    assert cli("models", "-o", "text.gen").code == 2


def test_model_show(cli, toy):
    """By alias, with the options of its schema."""
    ended = cli("model", "show", "toytext")
    assert ended.code == 0
    assert "toy:text" in ended.out
    assert "finish" in ended.out
    document = cli("model", "show", "toy:text", "--json").document
    assert document["schema"]["properties"]["finish"]["default"] == "stop"
    assert "prompt" in document["attributes"]
    wrong = cli("model", "show", "toy:txt")
    assert wrong.code == 2
    assert "did you mean toy:text?" in wrong.err


def test_what_a_model_takes_is_said_as_far_as_it_is_known(cli, toy):
    """By its row; where that maps no attributes, its wire may refuse some of the operation's."""
    lines = cli("model", "show", "toy:image").out.splitlines()
    (line,) = [line for line in lines if "take" in line]
    assert line.startswith("may take:     prompt, ")
    assert line.endswith(" (what it cannot is warned of)")
    manifest = toy / "plugin.toml"
    row = 'model = "image"\ninputs = { prompt = "prompt", seed = "noise" }'
    manifest.write_text(manifest.read_text().replace('model = "image"', row))
    assert "takes:        prompt, seed" in cli("model", "show", "toy:image").out.splitlines()


def test_plugins_list(cli, toy):
    """Name, status, number of models and commands."""
    (row,) = [row for row in cli("plugins", "list", "--json").document["plugins"] if row["name"] == "toy"]
    assert (row["status"], row["models"], row["commands"]) == ("ok", 3, ["greet", "forgotten", "crash"])


def test_a_wrong_project_file(cli, toy):
    """The error names file and key."""
    from pathlib import Path

    Path("callsheet.toml").write_text("[run]\nconcurency = 3\n")
    ended = cli("models")
    assert ended.code == 2
    assert "concurrency" in ended.err
    assert ended.out == ""


def test_prices_are_plain_decimals(cli, toy):
    """Tokens by the million for people, each for programs; neither has an exponent. The list shows the first three."""
    from pathlib import Path

    units = ("input_token", "output_token", "second", "run", "image")
    price = ", ".join(
        f'{{ per = "{u}", usd = 6e-7, as_of = "2026-11-01", source = "toy.test/pricing" }}' for u in units
    )
    Path("callsheet.toml").write_text(
        f'[[models]]\nprovider = "toy"\nmodel = "cheap"\noperation = "text.generate"\nprice = [{price}]\n'
    )
    tokens = "$0.60 per 1M input_tokens, $0.60 per 1M output_tokens, $0.0000006 per second, "
    assert f"{tokens}2 more  " in cli("models", "cheap").out
    every = f"{tokens}$0.0000006 per run, $0.0000006 per image (2026-11-01, toy.test/pricing)\n"
    assert every in cli("model", "show", "toy:cheap").out
    assert cli("models", "cheap", "--json").document["models"][0]["price"][0]["usd"] == "0.0000006"
