"""The checks themselves, in order, and how they are carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from callsheet.errors import ConfigError
from callsheet.testing import error_checks, manifest_checks, prepare_checks, stream_checks
from callsheet.testing.report import Check, Finding, NotApplicableError, Outcome, Report
from callsheet.testing.samples import Samples
from callsheet.testing.subject import Subject
from callsheet.toml_tables import near_or_known

__all__ = ["CHECKS", "conformance"]

_Look = Callable[[Subject], Iterator[Finding]]

_TABLE: tuple[tuple[_Look, Check], ...] = (
    (
        manifest_checks.check_manifest,
        Check(
            "manifest",
            "the plugin is found, and its plugin.toml is valid",
            "put plugin.toml into the package data and name the package in the entry-point group `callsheet`",
        ),
    ),
    (
        manifest_checks.check_rows,
        Check("rows", "every model row is valid, names are unique", "correct the row; give each model its own aliases"),
    ),
    (
        manifest_checks.check_import,
        Check(
            "import-light",
            "importing the package loads no SDK and prints nothing",
            "import handlers and SDK inside of the factory functions, and print nothing",
        ),
    ),
    (
        manifest_checks.check_handlers,
        Check(
            "handlers",
            "hooks are known, handlers are for the plugin's own provider",
            "spell the hooks as docs/reference/hooks.md does, and register handlers for your provider only",
        ),
    ),
    (
        manifest_checks.check_resolution,
        Check(
            "resolution",
            "each row has exactly one handler, which does its operation",
            "give the row a `wire` for which exactly one handler is registered with that operation",
        ),
    ),
    (
        manifest_checks.check_capabilities,
        Check(
            "capabilities",
            "having a method is the capability: they are complete and agree with plugin.toml",
            "write `invoke`, or all of `submit`, `poll` and `collect`; leave out what you cannot do",
        ),
    ),
    (
        prepare_checks.check_purity,
        Check(
            "prepare-pure",
            "prepare uses no network, file, clock, chance or environment, and changes nothing it is given",
            "move it into invoke or submit; copy what you change",
        ),
    ),
    (
        prepare_checks.check_determinism,
        Check(
            "prepare-deterministic",
            "the same job gives the same request, in every process",
            "use no counter, no id() and no order of a set: sort, or keep a list",
        ),
    ),
    (
        prepare_checks.check_bodies,
        Check(
            "bodies",
            "a body is JSON with FileRef leaves, and `expects` says what comes out",
            "build the body of dicts, lists, texts, numbers, booleans, None and FileRef; fill `expects`",
        ),
    ),
    (
        prepare_checks.check_attributes,
        Check(
            "no-silent-drop",
            "every general attribute and option reaches the body, or is warned of, or refused",
            "add it to the body, or a CallWarning(WarningKind.UNSUPPORTED, …, attribute) to the request",
        ),
    ),
    (
        prepare_checks.check_refusals,
        Check(
            "refusals",
            "what a model cannot take is a warning, CapabilityUnsupportedError or InvalidRequestError",
            "raise CapabilityUnsupportedError (InvalidRequestError for a value out of range), and nothing else",
        ),
    ),
    (
        error_checks.check_errors,
        Check(
            "errors",
            "a vendor's faults become errors of the right kind, `sent` and `retry_after`",
            "raise reply_error(reply, …) for a status of 400 and above, and let the errors of context.http through",
        ),
    ),
    (
        error_checks.check_no_retry,
        Check(
            "no-retry",
            "one call is one request, whatever the answer",
            "remove the loop, and switch off the SDK's retries: the core decides what is tried again",
        ),
    ),
    (
        error_checks.check_no_secret,
        Check(
            "no-secret",
            "the key is in no error",
            "reveal() the key only where it goes into the header; put no request and no headers into errors",
        ),
    ),
    (
        stream_checks.check_streams,
        Check(
            "streams",
            "a stream ends with StreamFinished, a cut one raises, one that is left closes its connection",
            "raise MalformedOutputError without the vendor's last event; read inside of `async with context.http.stream(…)`",
        ),
    ),
)

CHECKS: tuple[Check, ...] = tuple(check for _, check in _TABLE)
"""Every check, in the order in which they are carried out."""


def conformance(
    plugin: str,
    *,
    only: Iterable[str] = (),
    samples: Samples | None = None,
    streams: Mapping[str, bytes] | None = None,
) -> Report:
    """Check an installed plugin (its package, entry point or distribution), offline and without a key.

    `only` names checks by id (none: all). `samples` are attribute values by model name or wire, for models that the
    usual ones do not suit; `streams` a whole answer (`text/event-stream`) by wire, to check success as well. Call it
    outside of an event loop. Raises ConfigError for an unknown check.
    """
    wanted = set(only)
    known = [check.id for check in CHECKS]
    for name in sorted(wanted.difference(known)):
        raise ConfigError(f"there is no conformance check {name!r}{near_or_known(name, known)}")
    subject = Subject(plugin, samples or {}, streams or {})
    outcomes = [_carry_out(look, check, subject) for look, check in _TABLE if not wanted or check.id in wanted]
    return Report(plugin, tuple(outcomes))


def _carry_out(look: _Look, check: Check, subject: Subject) -> Outcome:
    try:
        return Outcome(check, tuple(look(subject)))
    except NotApplicableError as reason:
        return Outcome(check, reason=str(reason))
