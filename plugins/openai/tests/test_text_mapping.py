"""From the general attributes and options to the exact body of either wire."""

from __future__ import annotations

import pytest
from openai_counterpart.stage import file, job, rows
from openai_counterpart.text_stage import handler, of_row, prepared, warned

from callsheet.digests import canonical
from callsheet.jobs import Expected
from callsheet.plugin import CapabilityUnsupportedError, InvalidRequestError, Sent

R, C = "responses", "chat"
POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}},
    "required": ["x"],
    "additionalProperties": False,
}
LOOSE = {"type": "object", "properties": {"x": {"type": "integer"}}}
PICTURE, PAPER, SOUND = file("image/png", name="a.png"), file("application/pdf", name="b.pdf"), file("audio/mpeg")


def body(wire, options=None, **attributes):
    """The body without the model."""
    whole = dict(prepared(wire, options, **attributes).body)
    assert whole.pop("model") == "some-model"
    return whole


@pytest.mark.parametrize(
    ("wire", "given", "options", "wanted"),
    [
        (R, {"prompt": "Hi"}, {}, {"input": "Hi"}),
        (R, {"prompt": "Hi", "system": "Be brief."}, {}, {"input": "Hi", "instructions": "Be brief."}),
        (R, {"prompt": "Hi", "max_tokens": 50}, {}, {"input": "Hi", "max_output_tokens": 50}),
        (R, {"prompt": "Hi", "temperature": 0.5}, {}, {"input": "Hi", "temperature": 0.5}),
        (R, {"prompt": "Hi"}, {"reasoning_effort": "low"}, {"input": "Hi", "reasoning": {"effort": "low"}}),
        (
            R,
            {"prompt": "Hi"},
            {"reasoning_effort": "low", "reasoning_summary": "auto", "reasoning": {"mode": "pro", "effort": "high"}},
            {"input": "Hi", "reasoning": {"mode": "pro", "effort": "low", "summary": "auto"}},
        ),
        (R, {"prompt": "Hi"}, {"verbosity": "low"}, {"input": "Hi", "text": {"verbosity": "low"}}),
        (R, {"prompt": "Hi"}, {"web_search": True}, {"input": "Hi", "tools": [{"type": "web_search"}]}),
        (R, {"prompt": "Hi"}, {"web_search": False, "code_interpreter": False}, {"input": "Hi"}),
        (
            R,
            {"prompt": "Hi"},
            {"web_search": {"search_context_size": "low"}, "code_interpreter": True},
            {
                "input": "Hi",
                "tools": [
                    {"type": "web_search", "search_context_size": "low"},
                    {"type": "code_interpreter", "container": {"type": "auto"}},
                ],
            },
        ),
        (
            R,
            {"prompt": "Hi"},
            {"logprobs": True, "top_logprobs": 3, "include": ["reasoning.encrypted_content"]},
            {
                "input": "Hi",
                "top_logprobs": 3,
                "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
            },
        ),
        (
            R,
            {"prompt": "Hi"},
            {"service_tier": "flex", "prompt_cache_key": "k", "previous_response_id": "resp_1", "store": False},
            {
                "input": "Hi",
                "service_tier": "flex",
                "prompt_cache_key": "k",
                "previous_response_id": "resp_1",
                "store": False,
            },
        ),
        (R, {"prompt": "Hi"}, {"background": True}, {"input": "Hi", "background": True}),
        (R, {"prompt": "Hi"}, {"tomorrows_field": [1]}, {"input": "Hi", "tomorrows_field": [1]}),
        (C, {"prompt": "Hi"}, {}, {"messages": [{"role": "user", "content": "Hi"}]}),
        (
            C,
            {"prompt": "Hi", "system": "Be brief.", "max_tokens": 50, "temperature": 0.5, "seed": 3},
            {"stop": ["."], "reasoning_effort": "low", "verbosity": "low", "parallel_tool_calls": False},
            {
                "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
                "max_tokens": 50,
                "temperature": 0.5,
                "seed": 3,
                "stop": ["."],
                "reasoning_effort": "low",
                "verbosity": "low",
                "parallel_tool_calls": False,
            },
        ),
        (
            C,
            {"prompt": "Hi"},
            {"top_logprobs": 2},
            {"messages": [{"role": "user", "content": "Hi"}], "top_logprobs": 2, "logprobs": True},
        ),
    ],
)
def test_body(wire, given, options, wanted):
    """Each attribute and option stands in its own field, and nothing else does."""
    assert body(wire, options, **given) == wanted
    assert warned(prepared(wire, options, **given)) == []


def test_files():
    """Files are leaves of the user's last turn, each in the form of its kind."""
    assert body(R, prompt="Look", images=[PICTURE], files=[PAPER])["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
                {"type": "input_file", "filename": "b.pdf", "file_data": PAPER},
            ],
        }
    ]
    assert body(C, prompt="Look", images=[PICTURE], files=[PAPER], audio=SOUND)["messages"][0]["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": PICTURE}},
        {"type": "file", "file": {"filename": "b.pdf", "file_data": PAPER}},
        {"type": "input_audio", "input_audio": {"data": SOUND, "format": "mp3"}},
    ]


@pytest.mark.parametrize(
    ("wire", "given", "data"),
    [
        (R, {"audio": SOUND}, {}),
        (R, {"files": [file("video/mp4")]}, {}),
        (R, {"images": [file("image/heic")]}, {}),
        (R, {"files": [file("application/pdf", size=51 << 20)]}, {}),
        (R, {"images": [PICTURE]}, {"reads": ["audio/*"]}),
        (C, {"audio": file("audio/flac")}, {}),
        (C, {"files": [file("text/csv")]}, {}),
    ],
)
def test_file_that_nobody_reads(wire, given, data):
    """A file that the wire or the model cannot read is refused before anything is sent: it is what was asked about."""
    with pytest.raises(CapabilityUnsupportedError) as caught:
        prepared(wire, prompt="What is it?", data=data, **given)
    assert caught.value.sent is Sent.NOT_SENT


def test_schema():
    """A schema goes in strict mode where that takes it; the promise of the result holds the caller's own."""
    strict = {"name": "answer", "schema": POINT, "strict": True}
    request = prepared(R, prompt="Hi", output_schema=POINT)
    assert request.body["text"] == {"format": {"type": "json_schema", **strict}}
    assert request.expects == (Expected("json", "application/json", schema=POINT),)
    assert body(C, prompt="Hi", output_schema=POINT)["response_format"] == {
        "type": "json_schema",
        "json_schema": strict,
    }
    loose = prepared(R, prompt="Hi", output_schema=LOOSE)
    assert loose.body["text"]["format"]["strict"] is False
    assert loose.body["text"]["format"]["schema"] == LOOSE
    assert warned(loose) == [("emulated", "output_schema")]


@pytest.mark.parametrize("way", ["json_schema", "json_object", "text"])
@pytest.mark.parametrize(
    ("wire", "options", "name"),
    [
        (C, {"response_format": {"type": "text"}}, "response_format"),
        (R, {"text": {"format": {"type": "text"}}}, "text.format"),
    ],
)
def test_the_schema_says_the_form(wire, options, name, way):
    """The answer is checked by it, so an option that asks for another form would be paid for in vain; alone it counts."""
    data = {"structured": way}
    request = prepared(wire, options, prompt="Hi", output_schema=POINT, data=data)
    without = prepared(wire, prompt="Hi", output_schema=POINT, data=data)
    assert request.body == without.body
    assert sorted(warned(request)) == sorted([*warned(without), ("unsupported", name)])
    assert prepared(wire, options, prompt="Hi", data=data).body.items() >= options.items()


def test_instructions_of_an_option_keep_what_is_asked_for_in_words():
    """They stand in the system text's place; the schema that the answer is checked by is still asked for."""
    data = {"structured": "text"}
    asked = prepared(
        R, {"instructions": "Be brief."}, prompt="Hi", system="Be long.", output_schema=POINT, data=data
    ).body["instructions"]
    assert asked.startswith("Be brief.\n\n")
    assert "JSON Schema" in asked
    assert prepared(R, {"instructions": "Be brief."}, prompt="Hi").body["instructions"] == "Be brief."


@pytest.mark.parametrize(("way", "form"), [("json_object", {"type": "json_object"}), ("text", None)])
def test_schema_in_words(way, form):
    """Without structured output the schema stands in the instructions, and a warning says so."""
    data = {"structured": way}
    request = prepared(C, prompt="Hi", output_schema=POINT, data=data)
    assert request.body.get("response_format") == form
    assert '"additionalProperties": false' in request.body["messages"][0]["content"]
    assert warned(request) == [("emulated", "output_schema")]
    responses = prepared(R, prompt="Hi", output_schema=POINT, data=data)
    assert responses.body.get("text") == (form and {"format": form})
    assert "JSON Schema" in responses.body["instructions"]


@pytest.mark.parametrize(
    ("wire", "given", "options", "names"),
    [
        (R, {"seed": 1}, {}, ["seed"]),
        (R, {}, {"stop": ["."], "n": 2}, ["stop", "n"]),
        (R, {}, {"model": "other", "stream": True, "input": "x"}, ["model", "stream", "input"]),
        (C, {}, {"background": True, "previous_response_id": "r"}, ["background", "previous_response_id"]),
        (C, {}, {"web_search": True, "code_interpreter": True}, ["web_search", "code_interpreter"]),
        (C, {}, {"modalities": ["audio"], "n": 2}, ["modalities", "n"]),
        (C, {}, {"reasoning": {"summary": "auto"}, "reasoning_summary": "auto"}, ["reasoning_summary", "reasoning"]),
    ],
)
def test_left_out(wire, given, options, names):
    """What a wire has no field for is left out, and a warning names it."""
    request = prepared(wire, options, prompt="Hi", **given)
    assert warned(request) == [("unsupported", name) for name in names]
    assert request.body == prepared(wire, prompt="Hi").body


def test_language():
    """There is no field for the language: it is asked for in words."""
    request = prepared(R, prompt="Hi", system="Be brief.", language="de")
    assert request.body["instructions"].startswith("Be brief.\n\n")
    assert "de" in request.body["instructions"].partition("\n\n")[2]
    assert warned(request) == [("emulated", "language")]


def test_few_tokens():
    """The vendor's least number of tokens is taken in place of a smaller one."""
    request = prepared(R, prompt="Hi", max_tokens=5)
    assert request.body["max_output_tokens"] == 16
    assert warned(request) == [("adjusted", "max_tokens")]


@pytest.mark.parametrize(
    ("options", "data", "taken"),
    [
        ({}, {"refuses": ["temperature"]}, False),
        ({}, {"refuses_reasoning": ["temperature"]}, False),
        ({}, {"refuses_reasoning": ["temperature"], "effort": "none", "efforts": ["none", "low"]}, True),
        ({"reasoning_effort": "none"}, {"refuses_reasoning": ["temperature"], "efforts": ["none", "low"]}, True),
        ({"reasoning": {"effort": "none"}}, {"refuses_reasoning": ["temperature"]}, True),
        ({"reasoning_effort": "low"}, {"refuses_reasoning": ["temperature"], "effort": "none"}, False),
        ({}, {"efforts": []}, True),
    ],
)
@pytest.mark.parametrize("wire", [R, C])
def test_temperature(wire, options, data, taken):
    """Whether a model takes a temperature is in its row, and may depend on the effort."""
    request = prepared(wire, options, data=data, prompt="Hi", temperature=0.5)
    assert ("temperature" in request.body) is taken
    assert warned(request) == ([] if taken else [("unsupported", "temperature")])


@pytest.mark.parametrize("wire", [R, C])
def test_effort_that_a_model_lacks(wire):
    """An effort out of the row's list is left out, and a model that does not reason takes none."""
    some = prepared(wire, {"reasoning_effort": "max"}, data={"efforts": ["low", "high"]}, prompt="Hi")
    none = prepared(wire, {"reasoning_effort": "low"}, data={"efforts": []}, prompt="Hi")
    assert warned(some) == warned(none) == [("unsupported", "reasoning_effort")]
    assert some.body == none.body == prepared(wire, prompt="Hi").body


def test_logprobs_of_reasoning_models():
    """Log-probabilities are refused where the model reasons, on both wires."""
    data = {"refuses": ["top_logprobs", "logprobs"]}
    for wire in (R, C):
        request = prepared(wire, {"logprobs": True}, data=data, prompt="Hi")
        assert request.body == prepared(wire, prompt="Hi").body
        assert warned(request) == [("unsupported", "logprobs")]


def test_function_tools_of_either_form():
    """Tools and the choice among them are written for one wire and sent over both."""
    flat = {"type": "function", "name": "depth", "description": "How deep", "parameters": POINT}
    nested = {"type": "function", "function": {k: v for k, v in flat.items() if k != "type"}}
    for tool in (flat, nested):
        for choice in ({"type": "function", "name": "depth"}, {"type": "function", "function": {"name": "depth"}}):
            options = {"tools": [tool], "tool_choice": choice}
            sent = body(R, options, prompt="Hi")
            assert sent["tools"] == [{**flat, "strict": True}]
            assert sent["tool_choice"] == {"type": "function", "name": "depth"}
            sent = body(C, options, prompt="Hi")
            assert sent["tools"] == [nested]
            assert sent["tool_choice"] == {"type": "function", "function": {"name": "depth"}}


@pytest.mark.parametrize("options", [{"tools": "depth"}, {"tools": ["depth"]}, {"web_search": "yes"}])
def test_wrong_options(options):
    """What cannot be mapped is refused with a message, before anything is sent."""
    with pytest.raises(InvalidRequestError) as caught:
        prepared(R, options, prompt="Hi")
    assert caught.value.sent is Sent.NOT_SENT


def test_search_model_over_chat():
    """The row of a model that searches by itself gives web_search its field of Chat Completions."""
    request = of_row("gpt-5-search-api", {"web_search": {"search_context_size": "low"}}, prompt="Hi", max_tokens=9)
    assert request.body["web_search_options"] == {"search_context_size": "low"}
    assert request.body["max_completion_tokens"] == 9
    assert warned(of_row("gpt-5-search-api", {"temperature": 1, "stop": "."}, prompt="Hi")) == [
        ("unsupported", "temperature"),
        ("unsupported", "stop"),
    ]


@pytest.mark.parametrize("model", sorted(m for m, row in rows().items() if row.wire in (R, C)))
def test_prepare_is_pure(model):
    """Twice the same job gives the same canonical body, and changes nothing of what it was given."""
    options = {"reasoning": {"summary": "auto"}, "text": {"verbosity": "low"}, "include": [], "tools": []}
    wanted = job(model, "", options, prompt="Hi", output_schema=POINT)
    before = canonical({"options": wanted.options, "inputs": wanted.inputs})
    bodies = {canonical(handler(wanted.model.wire).prepare(wanted).body) for _ in range(2)}
    assert len(bodies) == 1
    assert canonical({"options": wanted.options, "inputs": wanted.inputs}) == before
