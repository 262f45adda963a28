"""A request in the making: what goes into it, what is told, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.artifacts import FileRef
from callsheet.draft import Draft
from callsheet.errors import CapabilityUnsupportedError, ErrorKind, InvalidRequestError, Sent
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
    draft.refuse(("negative_prompt", "seed", "images", "aspect_ratio", "mask", "count"))
    assert [name for _, _, name in told(draft)] == ["seed", "aspect_ratio"]
    several = draft_of(count=2)
    several.refuse(("count",))
    assert [name for _, _, name in told(several)] == ["count"]


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


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("prompt", "a" * 11, "takes a prompt of 2 to 10 characters, not of 11"),
        ("prompt", "a", "takes a prompt of 2 to 10 characters, not of 1"),
        ("seed", 1, "takes a seed of 2 to 10, not of 1"),
        ("seed", 11, "takes a seed of 2 to 10, not of 11"),
    ],
)
def test_a_value_out_of_range_is_an_error(attribute, value, said):
    """Before anything is sent."""
    with pytest.raises(InvalidRequestError, match=said) as caught:
        draft_of(**{attribute: value}).within(attribute, 2, 10)
    assert caught.value.sent is Sent.NOT_SENT


@pytest.mark.parametrize(
    ("attribute", "value"), [("prompt", "ab"), ("prompt", "a" * 10), ("seed", 2), ("seed", 10), ("seed", None)]
)
def test_a_value_within_its_range_is_given(attribute, value):
    """Both ends belong to it; what was not asked for is in every range."""
    assert draft_of(**{attribute: value}).within(attribute, 2, 10) == value


@pytest.mark.parametrize(
    ("count", "usual", "taken", "warned"), [(1, None, 2, True), (5, None, 4, True), (3, None, 3, False)]
)
def test_the_nearest_value(count, usual, taken, warned):
    """Of what is more or less: the answer is still what was wished for."""
    draft = draft_of(count=count)
    assert draft.nearest("count", 2, 4, usual) == taken
    said = (WarningKind.ADJUSTED, f"acme:painter has no count {count}: {taken} was taken", "count")
    assert told(draft) == ([said] if warned else [])


def test_the_usual_value_where_none_was_asked_for():
    """Without a warning, also where the model's range is too short for it."""
    draft = draft_of()
    assert (draft.nearest("seed", 0, 9, 5), draft.nearest("seed", 0, 3, 5), draft.nearest("seed", 0, 9)) == (5, 3, None)
    assert told(draft) == []


@pytest.mark.parametrize(
    ("wished", "taken", "warned"), [("jpg", "JPEG", False), (None, "PNG", False), ("webp", "PNG", True)]
)
def test_one_of_a_vendor_s_words(wished, taken, warned):
    """By what it is called here; the usual one where there is no such word."""
    draft = draft_of(format=wished)
    assert draft.choice("format", {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG"}, "png") == taken
    said = (WarningKind.ADJUSTED, "acme:painter has no format webp: png was taken", "format")
    assert told(draft) == ([said] if warned else [])


SIZES = {"1:1": (512, 512), "16:9": (1344, 768), "9:16": (768, 1344), "big": (1024, 1024)}


@pytest.mark.parametrize(
    ("wishes", "taken", "warned"),
    [
        ({}, "1:1", {}),
        ({"aspect_ratio": "16:9"}, "16:9", {}),
        ({"aspect_ratio": "32:18"}, "16:9", {}),
        ({"aspect_ratio": "2:1"}, "16:9", {"aspect_ratio": "16:9"}),
        ({"aspect_ratio": "1:3"}, "9:16", {"aspect_ratio": "9:16"}),
        ({"size": "1024x1024"}, "big", {}),
        ({"size": "600x600"}, "1:1", {"size": "512x512"}),
        ({"size": "900x500"}, "16:9", {"size": "1344x768"}),
        ({"size": "1024x1024", "aspect_ratio": "1:1"}, "big", {}),
        ({"size": "1024x1024", "aspect_ratio": "16:9"}, "big", {"aspect_ratio": "1024x1024"}),
    ],
)
def test_the_nearest_shape(wishes, taken, warned):
    """By the ratio of its sides, then by its area; a ratio that the vendor rounds is no other one."""
    draft = draft_of(**wishes)
    assert draft.shape(SIZES, "1:1") == taken
    said = {each.attribute: each.message.rpartition(": ")[2] for each in draft.request(PICTURE).warnings}
    assert said == {attribute: f"{word} was taken" for attribute, word in warned.items()}


FILES = tuple(FileRef(str(at) * 64, "image/png", 10, f"{at}.png") for at in range(3))


def test_files_that_a_model_takes():
    """Many, one or none; what is not asked for is nothing."""
    assert draft_of(images=FILES).attached("images", 3, ("image/*",), 10) == FILES
    assert draft_of(mask=FILES[0]).attached("mask", 1) == FILES[:1]
    assert (draft_of().attached("mask", 0), draft_of().attached("images", 0)) == ((), ())


@pytest.mark.parametrize(
    ("attribute", "value", "most", "limits", "said"),
    [
        ("mask", FILES[0], 0, (), "takes no mask"),
        ("images", FILES, 2, (), "takes at most 2 images, not 3"),
        ("images", FILES, 3, (("image/jpeg",),), "takes no image/png"),
        ("images", FILES, 3, ((), 9), "at most 9 bytes"),
    ],
)
def test_files_that_a_model_does_not_take(attribute, value, most, limits, said):
    """Without them the answer would be another than was asked for."""
    with pytest.raises(CapabilityUnsupportedError, match=said):
        draft_of(**{attribute: value}).attached(attribute, most, *limits)
