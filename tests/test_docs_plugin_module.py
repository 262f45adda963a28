"""The authors' page has every name of `callsheet.plugin`, and says of them what the code says."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from functools import partial

import pytest
from references.pages import CODE, read
from references.pages import table as table_of

from callsheet import handler, plugin
from callsheet.context import JobContext

PAGE = read("reference/plugin-module.md")
table = partial(table_of, PAGE)


def test_every_name_is_on_the_page_once():
    """Nothing that an author may import is missing, and nothing else is there."""
    told = [name for row in table("kind") for name in CODE.findall(row[1])]
    assert sorted(told) == sorted(plugin.__all__)


def test_protocols_have_the_methods_that_the_page_says():
    """Every capability of a handler, by the methods that make it."""
    told = {CODE.findall(row[0])[0]: sorted(CODE.findall(row[1])) for row in table("protocol")}
    protocols = [each for each in vars(handler).values() if getattr(each, "_is_protocol", False)]
    own = [each for each in protocols if each.__module__ == handler.__name__]
    methods = {each.__name__: sorted(name for name in vars(each) if not name.startswith("_")) for each in own}
    assert told == methods


@pytest.mark.parametrize("row", table("type"), ids=lambda row: row[0])
def test_types_of_http_have_what_the_page_says(row):
    """Fields and methods, all of them."""
    name = CODE.findall(row[0])[0]
    cls = getattr(plugin, name)
    told = {each.removeprefix("await ").partition("(")[0] for each in CODE.findall(row[1])} - {"ServerSentEvent"}
    values = {each.name for each in fields(cls)} if is_dataclass(cls) else set(cls.__annotations__)
    assert told == values | {
        each for each, _ in inspect.getmembers(cls, inspect.isfunction) if not each.startswith("_")
    }


def test_a_draft_has_the_methods_of_the_page():
    """Each of them, and no other."""
    told = {name for row in table("`Draft`") for name in CODE.findall(row[0])}
    assert told == {name for name, each in vars(plugin.Draft).items() if callable(each) and not name.startswith("_")}


def test_files_have_the_methods_of_the_page():
    """Each of them, and no other."""
    told = [CODE.findall(row[0])[0] for row in table("method of `Files`")]
    assert told == [f"files.{name}" for name in vars(plugin.Files) if not name.startswith("_")]


def test_http_has_the_methods_and_parameters_of_the_page():
    """`send` with each of its parameters, `stream` and the client for SDKs."""
    rows = {CODE.findall(row[0])[0]: row[1] for row in table("`Http`")}
    assert set(rows) == {name for name in vars(plugin.Http) if not name.startswith("_")}
    signature = next(code for code in CODE.findall(rows["send"]) if "send(" in code)
    given = [name for name in inspect.signature(plugin.Http.send).parameters if name != "self"]
    assert re.findall(r"[(,] ?(?:\*, )?(\w+)", signature) == given


def test_ways_for_files_to_come_are_those_of_the_context():
    """`keep`, `receive` and `download`, each with the parameters that the page names."""
    told = [CODE.findall(row[0])[0] for row in table("method of `JobContext`")]
    assert sorted(told) == [name for name, _ in inspect.getmembers(JobContext, inspect.iscoroutinefunction)]
    for name in told:
        assert {"name", "width", "height", "duration"} <= set(inspect.signature(getattr(JobContext, name)).parameters)


@pytest.mark.parametrize("heading", ["Files that go", "Errors"])
def test_functions_of_the_page_can_be_imported(heading):
    """Each by its name."""
    names = re.findall(r"^\| `(\w+)` \|", PAGE.split(f"## {heading}\n")[1].split("\n## ")[0], re.MULTILINE)
    assert names
    assert all(inspect.isfunction(getattr(plugin, name)) for name in names)


def test_a_json_api_has_the_fields_and_methods_of_the_page():
    """Each of them, and no other."""
    told = {name for first in ("field", "`JsonApi`") for row in table(first) for name in CODE.findall(row[0])}
    methods = {name for name, _ in inspect.getmembers(plugin.JsonApi, inspect.isfunction) if not name.startswith("_")}
    assert told == {each.name for each in fields(plugin.JsonApi)} | methods
