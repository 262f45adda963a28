"""A request in the making: what goes into it, what is told, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.draft import Draft
from callsheet.errors import ErrorKind, Sent
from callsheet.inputs import ImageInputs
from callsheet.jobs import Expected, Job, WarningKind
from callsheet.models import ModelInfo, ModelRef, Operation

REF = ModelRef.parse("acme:painter")
PICTURE = Expected("blob", "image/png")


def draft_of(options=None, body=None, ours=(), deprecated="", data=None, **attributes):
    """A draft of an image."""
    info = ModelInfo("acme", "painter", Operation.IMAGE_GENERATE, deprecated=deprecated, data=data or {})
    job = Job(
        "still", REF, info, Operation.IMAGE_GENERATE, ImageInputs(**{"prompt": "ash", **attributes}), options or {}
    )
    return Draft(job, body, ours)


def told(draft):
    """The warnings of the request."""
    return [(warning.kind, warning.message, warning.attribute) for warning in draft.request(PICTURE).warnings]


def test_a_request_of_what_was_put():
    """Fields stay in order, tuples become lists, and what was not asked for is not there."""
    draft = draft_of(body={"model": "painter"}, prompt="ash")
    for field, value in {"prompt": "ash", "seed": 0, "loop": False, "none": None, "list": [], "tuple": ()}.items():
        draft.put(field, value)
    draft.put("images", ("a", "b"))
    request = draft.request(PICTURE, PICTURE, units={"image": 2.0})
    assert request.body == {"model": "painter", "prompt": "ash", "seed": 0, "loop": False, "images": ["a", "b"]}
    assert (request.ref, request.operation) == (REF, Operation.IMAGE_GENERATE)
    assert (request.expects, request.units, request.warnings) == ((PICTURE, PICTURE), {"image": 2.0}, ())


def test_a_body_around_the_fields():
    """A vendor may want the fields inside of another object; the warnings go with them."""
    draft = draft_of()
    draft.put("prompt", "ash")
    draft.unsupported("seed")
    request = draft.request(PICTURE, body={"input": draft.body})
    assert request.body == {"input": {"prompt": "ash"}}
    assert len(request.warnings) == 1


def test_what_the_row_refuses():
    """A field that the row names is left out, and told by the name that the user knows."""
    draft = draft_of({"style": "vivid"}, data={"refuses": ["n", "style"]})
    draft.put("n", 3, "count")
    draft.put("n", None, "count")
    draft.options()
    assert draft.body == {}
    assert told(draft) == [
        (WarningKind.UNSUPPORTED, "acme:painter takes no count: it was left out", "count"),
        (WarningKind.UNSUPPORTED, "acme:painter takes no style: it was left out", "style"),
    ]


@given(st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text() | st.just([])))
def test_options_go_as_they_are(options):
    """Whatever its name and value; but not the fields that are ours, of the draft or of one call of `options`."""
    draft = draft_of({**options, "model": "other", "stream": True}, {"model": "painter"}, ours=["model"])
    draft.options(("stream",))
    assert draft.body == {**options, "model": "painter"} | ({"stream": True} if "stream" in options else {})
    ours = {name for _, message, name in told(draft) if message.endswith("callsheet sets it by itself")}
    assert ours == {"model", "stream"}


def test_an_option_replaces_an_attribute():
    """Who writes the vendor's own field means it."""
    draft = draft_of({"size": "vast"}, size="10x10")
    draft.put("size", "10x10")
    draft.options()
    assert draft.body == {"size": "vast"}


def test_attributes_without_a_field():
    """Those that were given are warned of, and only those."""
    draft = draft_of(negative_prompt="", seed=0, aspect_ratio="1:1")
    draft.refuse(("negative_prompt", "seed", "images", "aspect_ratio", "mask"))
    assert [name for _, _, name in told(draft)] == ["seed", "aspect_ratio"]


def test_each_kind_of_warning():
    """In words that name the model, in the order they were given; that of a deprecated model comes first."""
    draft = draft_of(deprecated="use acme:master")
    draft.adjusted("count", 9, 4)
    draft.emulated("language", "has no field for the language: it is asked for")
    draft.unchecked("has no schema")
    draft.warn(WarningKind.OTHER, "mind the paint", "prompt")
    assert told(draft) == [
        (WarningKind.DEPRECATED, "acme:painter: use acme:master", ""),
        (WarningKind.ADJUSTED, "acme:painter has no count 9: 4 was taken", "count"),
        (WarningKind.EMULATED, "acme:painter has no field for the language: it is asked for", "language"),
        (WarningKind.UNCHECKED, "acme:painter has no schema", ""),
        (WarningKind.OTHER, "mind the paint", "prompt"),
    ]


def test_a_value_out_of_range():
    """The error says that nothing was sent, and of which model."""
    error = draft_of().invalid("takes a seed of 0 to 9, not 10")
    assert (error.kind, error.sent, error.ref) == (ErrorKind.INVALID_REQUEST, Sent.NOT_SENT, "acme:painter")
    assert str(error).startswith("acme:painter takes a seed of 0 to 9, not 10")


@pytest.mark.parametrize("data", [{}, {"words": "one", "most": "many", "limits": ["none"]}], ids=["absent", "odd"])
def test_data_that_a_row_does_not_have(data):
    """Absent, or of another kind: it limits nothing."""
    draft = draft_of(data=data)
    assert (draft.names("words"), draft.number("most", 7), draft.table("limits")) == ((), 7, {})


def test_data_of_a_row():
    """Words, numbers and tables, as the row has them."""
    draft = draft_of(data={"words": ["a", 2], "most": 3, "limits": {"text": 9}})
    assert (draft.names("words"), draft.number("most", 7), draft.table("limits")) == (("a", "2"), 3, {"text": 9})


def test_what_would_be_of_no_use_is_refused_before_it_is_sent():
    """A file that a model cannot see is no matter for a warning."""
    error = draft_of().incapable("sees no pictures")
    assert (error.kind, error.sent, error.ref) == (ErrorKind.CAPABILITY_UNSUPPORTED, Sent.NOT_SENT, "acme:painter")
    assert str(error) == "acme:painter sees no pictures"
