"""What goes into one batch: which calls may share one, how large each is, and where the vendor's limits cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from callsheet.artifacts import FileRef
from callsheet.digests import digest, json_ready
from callsheet.errors import PluginError
from callsheet.handler import Batches
from callsheet.jobs import CallWarning, ProviderRequest, Receipt, WarningKind
from callsheet.plugin_manifest import BatchLimits
from callsheet.registry import BoundHandler

__all__ = ["batch_key", "cut", "files_in", "group_of", "is_batch", "one_by_one", "request_bytes", "takes_batches"]

ENVELOPE = 512
"""Bytes that a call needs in a batch beside its request: its id, the vendor's endpoint, separators."""
_ENCODED_FILE = 128

T = TypeVar("T")


def group_of(bound: BoundHandler, request: ProviderRequest) -> str:
    """The group of calls that this one may share a batch with; "" when it cannot go by batch. Raises PluginError."""
    handler, limits = bound.handler, bound.batch
    if not takes_batches(bound) or (limits is not None and request_bytes(request) > limits.max_bytes):
        return ""
    assert isinstance(handler, Batches)
    group = handler.batch_group(request)
    if not isinstance(group, str):
        raise PluginError(f"{bound.plugin}: batch_group of {bound.ref} gave no text", plugin=bound.plugin)
    return group


def takes_batches(bound: BoundHandler) -> bool:
    """True when the model's calls may go by batch: its handler knows how, and its provider says how much."""
    return not bound.simulated and bound.batch is not None and isinstance(bound.handler, Batches)


def one_by_one(bound: BoundHandler) -> CallWarning:
    """What is told of a call that was to go by batch and cannot."""
    text = f"{bound.ref} cannot take this call in a batch: it is sent by itself, at the usual price"
    return CallWarning(WarningKind.EMULATED, text, "dispatch")


def request_bytes(request: ProviderRequest) -> int:
    """How many bytes a call takes in a batch, at most: files are counted as they are when encoded in base64."""
    files = sum((file.bytes + 2) // 3 * 4 + _ENCODED_FILE for file in files_in(request.body))
    return len(json.dumps(json_ready(request.body))) + files + ENVELOPE


def files_in(value: object) -> Iterator[FileRef]:
    """The input files of a request's body, or of a part of one."""
    if isinstance(value, FileRef):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from files_in(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from files_in(each)


def cut(items: Iterable[T], limits: BatchLimits, group: Callable[[T], str], size: Callable[[T], int]) -> list[list[T]]:
    """The items as batches of one group each, in order, none beyond the limits."""
    batches: list[list[T]] = []
    filling: dict[str, tuple[list[T], int]] = {}
    for item in items:
        name, more = group(item), size(item)
        batch, filled = filling.get(name, ([], 0))
        if not batch or len(batch) == limits.max_requests or filled + more > limits.max_bytes:
            batch, filled = [], 0
            batches.append(batch)
        batch.append(item)
        filling[name] = (batch, filled + more)
    return batches


def is_batch(receipt: Receipt, key: str = "") -> bool:
    """True for a batch's receipt (with this key): a batch is its own digest."""
    return receipt.request_digest == receipt.key == (key or receipt.key)


def batch_key(calls: Sequence[tuple[str, int]]) -> str:
    """The key of a batch of these (key, attempt): the same calls tried again are another batch."""
    return digest({"batch": [[key, attempt] for key, attempt in calls]})
