"""Prompt templates: the sandbox, the limits, JSON in and out, and the references that the syntax tree shows."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import ConfigError
from callsheet.references import Reference
from callsheet.templates import MAX_RENDERED, Missing, Template, is_template

VALUES: dict[str, object] = {
    "inputs": {
        "topic": "lava",
        "n": 3,
        "on": True,
        "day": date(2026, 8, 1),
        "items": [7, 8],
        "keys": {"values": "deep"},
        "list": ["a", "b"],
        "odd": {"a b": 1, "__class__": "a key"},
        "mark": "{{ index }}",
    },
    "index": 1,
    "script": {"title": "T", "segments": [{"text": "one"}, {"text": "zwei ü"}]},
    "note": Missing("note is a video/mp4 file"),
    "clip": ["first", Missing("clip[1] has no result here")],
}
PRODUCERS = ("script", "clip", "note", "still")


def render(text: str) -> str:
    """The text filled in with VALUES."""
    return Template(text, "p.md").render(VALUES)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain { text }", "plain { text }"),
        ("about {{ inputs.topic }}!", "about lava!"),
        ("{{ inputs.items[0] }} {{ inputs.keys.values }} {{ inputs.items }}", "7 deep [7, 8]"),
        ("{{ script.segments[index].text }}", "zwei ü"),
        ("{{ script.segments[1] }}", '{"text": "zwei ü"}'),
        ("{{ script }}", '{"title": "T", "segments": [{"text": "one"}, {"text": "zwei ü"}]}'),
        ("{{ inputs.on }} {{ none }} {{ inputs.n * 2 + 1 }}", "true null 7"),
        ("{{ inputs.day }}", "2026-08-01"),
        (
            "{% for s in script.segments %}{{ loop.index }}/{{ loop.length }} {{ s.text }};{% endfor %}",
            "1/2 one;2/2 zwei ü;",
        ),
        ("{{ script.segments | map(attribute='text') | join(' + ') }}", "one + zwei ü"),
        ("{{ inputs.list | join(', ') | upper }} {{ inputs.items | sum }}", "A, B 15"),
        ("{{ inputs.items | select('odd') }}", "[7]"),
        ("{{ script.segments[0] | tojson }}", '{"text": "one"}'),
        ("{{ '<&>' | tojson }}", '"<&>"'),
        ("{{ 'x' ~ inputs.n ~ inputs.list }}", 'x3["a", "b"]'),
        ("{{ inputs.nothing | default('else') }}", "else"),
        ("{% if index > 0 %}{{ clip[index - 1] }}{% endif %}", "first"),
        ("{% if clip[1] is defined %}yes{% else %}no{% endif %}", "no"),
        ("{{ inputs.odd['a b'] }} {{ inputs.odd.__class__ }}", "1 a key"),
        ("{{ inputs.topic | replace('l', 'L') }} {{ 2.567 | round(1) }}", "Lava 2.6"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("{# nothing #}", ""),
    ],
)
def test_render(text: str, result: str) -> None:
    """Dotted names read JSON keys, whatever they are called, and JSON data shows as JSON."""
    assert render(text) == result


def test_a_value_is_never_rendered_again() -> None:
    """Marks inside of a value are text."""
    assert render("{{ inputs.mark }}") == "{{ index }}"
    assert render("{% set x = inputs.mark %}{{ x }}{{ [x] | join }}") == "{{ index }}" * 2


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ inputs.__class__ }}",
        "{{ inputs['__init__'] }}",
        "{{ script.segments.append(1) }}",
        "{{ inputs.items() }}",
        "{{ inputs.get('topic') }}",
        "{{ 'a'.upper() }}",
        "{{ range.__globals__ }}",
        "{{ range(1).__class__ }}",
        "{{ inputs | attr('__class__') }}",
        "{{ inputs.list | map(attribute='__class__') | list }}",
        "{{ cycler }}",
        "{{ self }}",
        "{{ lipsum() }}",
        "{{ namespace() }}",
        "{{ inputs.topic.format(1) }}",
        "{{ '%s' % inputs.topic }}",
        "{{ range }}",
        "{% for s in inputs.list %}{{ loop }}{% endfor %}",
    ],
)
def test_nothing_of_python_is_reached(text: str) -> None:
    """No attribute, method or function of Python is to be had, only data."""
    with pytest.raises(ConfigError, match=r"^p\.md: "):
        render(text)


BOMBS = {
    "power": "{{ 9 ** 9 ** 9 }}",
    "repetition": "{{ 'a' * 999999999 }}",
    "list repetition": "{{ [1] * 999999999 }}",
    "padding": "{{ '%999999999d' % 1 }}",
    "center": "{{ 'a' | center(999999999) }}",
    "indent": "{{ 'a' | indent(999999999) }}",
    "tojson": "{{ [1] | tojson(indent=999999999) }}",
    "batch": "{{ [1] | batch(999999999, 'x') | list }}",
    "slice": "{{ [1] | slice(999999999) | list }}",
    "round": "{{ 1 | round(999999999, 'ceil') }}",
    "range": "{% for i in range(999999999) %}{% endfor %}",
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "doubling by ~": "{% set x = 'aaaaaaaaaa' %}" + "{% set x = x ~ x %}" * 60 + "{{ x }}",
    "doubling by +": "{% set x = 'aaaaaaaaaa' %}" + "{% set x = x + x %}" * 60 + "{{ x }}",
    "doubling by join": "{% set x = 'aaaaaaaaaa' %}" + "{% set x = [x, x] | join %}" * 60 + "{{ x }}",
    "doubling by block": "{% set x = 'aaaaaaaaaa' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 60 + "{{ x }}",
    "growing by replace": "{% set x = 'aaaaaaaaaa' %}" + "{% set x = x | replace('a', x) %}" * 9 + "{{ x }}",
    "squares": "{% set x = 99999999 %}" + "{% set x = x * x %}" * 60 + "{{ x }}",
    "long separator": "{% set x = 'abcdefghij' | replace('a', 'aaaaaaaaaaaaaaa') %}{{ range(99999) | join(x ~ x ~ x ~ x ~ x) }}",
    "much static text": "{% set x %}{% for i in range(99999) %}" + "text " * 999 + "{% endfor %}{% endset %}",
    "long output": "{% for i in range(99999) %}" + "text " * 99 + "{% endfor %}",
    "recursion": "{% for i in [[1]] recursive %}{{ loop([i, i]) }}{% endfor %}",
    "macro": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "parentheses": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
    "long sum": "{{ " + "1+" * 20000 + "1 }}",
    "long number": "{{ " + "9" * 5000 + " }}",
    "long line": "{% for i in [1] %}" * 300 + "{% endfor %}" * 300,
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_template_makes_text_or_work_without_end(name: str) -> None:
    """Whatever grows or loops is stopped with a ConfigError long before it is large."""
    with pytest.raises(ConfigError) as caught:
        render(BOMBS[name])
    assert len(str(caught.value)) < 400


def test_a_large_honest_prompt_is_fine() -> None:
    """A text just under the limit is made; one letter more is not."""
    values = {"inputs": {"t": "x" * (MAX_RENDERED - 1)}}
    assert len(Template("{{ inputs.t }}!", "p").render(values)) == MAX_RENDERED
    with pytest.raises(ConfigError, match="grows over"):
        Template("{{ inputs.t }}!!", "p").render(values)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{{ inputs.topik }}", "there is no 'topik' in an object with day, items"),
        ("{{ script.segments[9].text }}", "there is no 9 in a list of 2"),
        ("{{ script.segments[-1].text }}", "there is no -1 in a list of 2"),
        ("{{ script.title.x }}", "there is no 'x' in a str"),
        ("{{ note }}", "note is a video/mp4 file"),
        ("{{ note.x }}", "note is a video/mp4 file"),
        ("{{ 'a' ~ note }}", "note is a video/mp4 file"),
        ("{{ clip[1] }}", r"clip\[1\] has no result here"),
        ("{{ clip }}", r"clip\[1\] has no result here"),
        ("{% for c in clip %}{{ c }}{% endfor %}", r"clip\[1\] has no result here"),
        ("{% for c in clip %}{{ 'x' ~ c }}{% endfor %}", r"clip\[1\] has no result here"),
        ("{% for c in clip[1:] %}{{ c.title }}{% endfor %}", r"clip\[1\] has no result here"),
        ("{{ clip | join(', ') }}", r"clip\[1\] has no result here"),
        ("{{ clip | tojson }}", r"clip\[1\] has no result here"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 'a' + 1 }}", "operator +"),
        ("{{ inputs.n + inputs.none }}", "there is no 'none'"),
        ("{% for x in inputs.n %}{% endfor %}", "not iterable"),
    ],
)
def test_what_is_missing_is_told(text: str, told: str) -> None:
    """A missing value never becomes text: the error says what is missing and why."""
    with pytest.raises(ConfigError, match=f"p.md: .*{told.replace('+', '[+]')}"):
        render(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ inputs.n }}", 3),
        (" {{ inputs.n * 1.5 }}\n", 4.5),
        ("{{- inputs.n -}}", 3),
        ("{{ inputs.on }}", True),
        ("{{ script.segments }}", [{"text": "one"}, {"text": "zwei ü"}]),
        ("{{ inputs.list | map('upper') }}", ["A", "B"]),
        ("{{ range(3) }}", [0, 1, 2]),
        ("{{ none }}", None),
        ("{{ inputs.n }}s", "3s"),
        ("{{ inputs.n }}{{ inputs.n }}", "33"),
        ("{{ '}}' }}", "}}"),
        ("no marks", "no marks"),
    ],
)
def test_evaluate_keeps_the_type(text: str, value: object) -> None:
    """One expression gives its value as plain JSON data; anything else gives text."""
    result = Template(text, "p").evaluate(VALUES)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "text", ["{{ note }}", "{{ clip }}", "{{ clip[1] }}", "{{ nothing }}", "{{ range }}", "{{ 1 / 0 }}"]
)
def test_evaluate_gives_nothing_that_is_missing(text: str) -> None:
    """A value that may not be used does not get into options either."""
    with pytest.raises(ConfigError, match="cannot be filled in"):
        Template(text, "p").evaluate(VALUES)


@pytest.mark.parametrize(
    ("text", "references"),
    [
        ("no marks script", []),
        ("{{ script }}", [Reference("script")]),
        ("{{ script.title }}{{ script.title }}", [Reference("script")]),
        ("{{ still[index] }}", [Reference("still", offset=0)]),
        ("{{ still[index-1].x }}", [Reference("still", offset=-1)]),
        ("{{ still[index + 2] }}", [Reference("still", offset=2)]),
        ("{{ still[0] }}", [Reference("still", number=0)]),
        ("{{ still[inputs.n] }}", [Reference("still")]),
        ("{{ still[script.n] }}", [Reference("still"), Reference("script")]),
        ("{{ still[-1] }}", [Reference("still")]),
        ("{% for s in still %}{{ s }}{% endfor %}", [Reference("still")]),
        ("{% for i in range(3) %}{{ still[i] }}{% endfor %}", [Reference("still")]),
        (
            "{% if index > 0 %}{{ clip[index-1] }}{% else %}{{ script }}{% endif %}",
            [Reference("clip", offset=-1), Reference("script")],
        ),
        ("{% if script.ok %}x{% endif %}", [Reference("script")]),
        ("{{ still | length }}{{ [clip[0]] | join }}", [Reference("still"), Reference("clip", number=0)]),
        ("{% set x = still[0] %}{{ x }}", [Reference("still", number=0)]),
        ("{# {{ still }} #}{% raw %}{{ clip }}{% endraw %}{{ inputs.a }}", []),
        ("{{ inputs.still }}{{ 'still' }}", []),
    ],
)
def test_references(text: str, references: list[Reference]) -> None:
    """The syntax tree shows which cells a prompt reads, also in loops, conditions and filters."""
    found = Template(text, "p").references(PRODUCERS)
    assert sorted(found, key=str) == sorted(references, key=str)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ scritp.title }}", "unknown name 'scritp'; did you mean 'script'"),
        ("{{ qqqqq }}", "known are clip, index, inputs, note, script, still"),
        ("a\n{{ x", "line 2: "),
        ("{% include 'x' %}", "cannot include"),
        ("{% import 'x' as x %}", "cannot include"),
        ("{% from 'x' import y %}", "cannot include"),
        ("{% extends 'x' %}", "cannot include"),
        ("{% macro f() %}{% endmacro %}", "no macros"),
        ("{{ script | nofilter }}", "nofilter"),
        ("{{ 1 is notest }}", "notest"),
        ("{{ inputs.topik }}", "inputs.topik, which the sheet does not have; did you mean 'topic'"),
        ("{{ inputs['topik'] }}", "inputs.topik"),
    ],
)
def test_mistakes_show_before_anything_runs(text: str, told: str) -> None:
    """Broken syntax, unknown names, inputs and filters are found when a sheet is read, with the nearest name."""
    with pytest.raises(ConfigError, match=told):
        Template(text, "p").references(PRODUCERS, ["topic", "n"])


def test_guarded_inputs_are_no_mistake() -> None:
    """What a template tests for, or has a default for, need not be in the sheet."""
    text = "{{ inputs.mood | default('calm') }}{% if inputs.x is defined %}x{% endif %}{{ inputs.topic }}"
    assert Template(text, "p").references(PRODUCERS, ["topic"]) == []


PIECES = [
    *"{}[]().+-*|~'\"x0 \n",
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "-}}",
    " if ",
    " for x in ",
    "endfor",
    "endif",
    "set y=",
]
PIECES += ["script", "clip", "inputs", "index", "join"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(PIECES),
        max_size=14,
    ).map("".join)
    | st.text(max_size=20).map(lambda t: "{{" + t + "}}")
)
def test_any_text_renders_or_raises_a_config_error(text: str) -> None:
    """No template raises anything but ConfigError, in any of the three ways to use it."""
    template = Template(text, "p")
    for use in (
        lambda: template.references(PRODUCERS),
        lambda: template.render(VALUES),
        lambda: template.evaluate(VALUES),
    ):
        try:
            use()
        except ConfigError as error:
            told = str(error)
            assert told.startswith("p: ")


@settings(deadline=None)
@given(st.text())
def test_text_without_marks_stays(text: str) -> None:
    """Text without marks is not touched at all."""
    if not is_template(text):
        assert Template(text, "p").render({}) == text


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(),
        lambda i: st.lists(i) | st.dictionaries(st.text(), i),
        max_leaves=8,
    )
)
def test_values_go_through_unchanged(value: object) -> None:
    """A JSON value comes out of `{{ inputs.v }}` as it went in."""
    assert Template("{{ inputs.v }}", "p").evaluate({"inputs": {"v": value}}) == value
