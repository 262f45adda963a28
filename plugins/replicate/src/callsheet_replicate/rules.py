"""What models' schemas say in prose alone: how fields depend on each other. A row names its rules in `data.rules`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from callsheet_replicate.draft import ReplicateDraft

__all__ = ["RULES", "apply_rules"]

MOST_IMAGES = 15
MOST_REFERENCES = 4


def apply_rules(draft: ReplicateDraft) -> None:
    """The row's rules, in its order. Raises InvalidRequestError for what would be paid for in vain."""
    names = draft.data.get("rules", ())
    for name in names if isinstance(names, (list, tuple)) else ():
        rule = RULES.get(str(name))
        if rule is None:
            raise draft.invalid(f"has a row with the rule {name!r}, which this plugin does not know: upgrade it")
        rule(draft)


def _pixels_need_custom_size(draft: ReplicateDraft) -> None:
    """width and height are read only with size = custom, aspect_ratio only without it."""
    values = draft.body
    if "width" in values or "height" in values:
        values.setdefault("size", "custom")
    if draft.value("size") == "custom":
        draft.drop("aspect_ratio", "it is ignored with a size in pixels")
    else:
        for side in ("width", "height"):
            draft.drop(side, f"it is ignored with size {draft.value('size')}")


def _several_images_need_auto(draft: ReplicateDraft) -> None:
    """max_images is read only with sequential_image_generation = auto; the model may make fewer."""
    most = draft.value("max_images")
    if not isinstance(most, int) or most <= 1:
        return
    if draft.body.setdefault("sequential_image_generation", "auto") != "auto":
        raise draft.invalid(f'makes {most} images only with sequential_image_generation = "auto"')
    draft.adjusted("count", f"of exactly {most}", f"1 to {most}, as the model decides,")


def _images_in_and_out(draft: ReplicateDraft) -> None:
    """Input and generated images together are at most 15."""
    given, made = draft.files("image_input"), draft.value("max_images")
    if given and isinstance(made, int) and given + made > MOST_IMAGES:
        raise draft.invalid(f"takes and makes at most {MOST_IMAGES} images together, not {given} and {made}")


def _no_ratio_with_image(draft: ReplicateDraft) -> None:
    """A first frame gives the shape."""
    if draft.files("image"):
        draft.drop("aspect_ratio", "it is ignored with a first frame, which gives the shape")


def _last_frame_needs_image(draft: ReplicateDraft) -> None:
    if draft.files("last_frame_image") and not draft.files("image"):
        raise draft.invalid("takes a last frame only with a first one (image)")


def _references_alone(draft: ReplicateDraft) -> None:
    """One to four references, not in 1080p, nor with a first or last frame."""
    count = draft.files("reference_images")
    if not count:
        return
    if count > MOST_REFERENCES:
        raise draft.invalid(f"takes at most {MOST_REFERENCES} reference images, not {count}")
    if draft.files("image") or draft.files("last_frame_image"):
        raise draft.invalid("takes reference images or a first frame, not both")
    if draft.value("resolution") == "1080p":
        raise draft.invalid("takes no reference images in 1080p: 720p is the most")


def _thinking_budget_or_dynamic(draft: ReplicateDraft) -> None:
    if draft.value("dynamic_thinking"):
        draft.drop("thinking_budget", "dynamic_thinking overrides it")


def _bitrate_of_mp3(draft: ReplicateDraft) -> None:
    if draft.value("audio_format") != "mp3":
        draft.drop("bitrate", f"it is for mp3 and not for {draft.value('audio_format')}")


def _quality_not_of_png(draft: ReplicateDraft) -> None:
    if draft.value("output_format") == "png":
        draft.drop("output_quality", "it has no effect on png")


RULES: Mapping[str, Callable[[ReplicateDraft], None]] = {
    "pixels_need_custom_size": _pixels_need_custom_size,
    "several_images_need_auto": _several_images_need_auto,
    "images_in_and_out": _images_in_and_out,
    "no_ratio_with_image": _no_ratio_with_image,
    "last_frame_needs_image": _last_frame_needs_image,
    "references_alone": _references_alone,
    "thinking_budget_or_dynamic": _thinking_budget_or_dynamic,
    "bitrate_of_mp3": _bitrate_of_mp3,
    "quality_not_of_png": _quality_not_of_png,
}
