"""The checks themselves, in order, how they are carried out, and the class that makes a test of each."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import SkipTest

from callsheet.errors import ConfigError
from callsheet.testing import (
    answer_checks,
    attribute_checks,
    batch_checks,
    body_checks,
    cancel_checks,
    chat_checks,
    error_checks,
    handler_checks,
    import_checks,
    live_stream_checks,
    manifest_checks,
    media_checks,
    mock_checks,
    prepare_checks,
    process_checks,
    receipt_checks,
    refusal_checks,
    remote_checks,
    row_checks,
    secret_checks,
    stream_checks,
)
from callsheet.testing.report import (
    Check,
    CheckStatus,
    Examined,
    Finding,
    NotApplicableError,
    Outcome,
    Report,
    causes,
    follows,
)
from callsheet.testing.samples import Samples
from callsheet.testing.subject import CheckRow, Subject
from callsheet.toml_tables import near_or_known

__all__ = ["CHECKS", "CHECK_TABLES", "Conformance", "conformance"]

_FEWEST_WORDS = 3


def _check_refused(subject: Subject) -> Iterator[Finding]:
    """What plugin.toml refuses are checks that exist, each with a reason."""
    manifest = subject.plugin.manifest
    for name, reason in (manifest.refuse if manifest is not None else {}).items():
        problem = _wrong_refusal(name, reason)
        if problem:
            yield Finding("plugin.toml [conformance] refuse", problem)


_REFUSED: CheckRow = (
    _check_refused,
    Check(
        "refused-checks",
        "a check that the plugin refuses exists, and its reason is given in words",
        'write refuse = { check-id = "why the check does not suit this vendor" }, or leave it out',
    ),
)
CHECK_TABLES: Mapping[str, tuple[CheckRow, ...]] = {
    "The package and plugin.toml": (*manifest_checks.TABLE, _REFUSED),
    "Model rows": row_checks.TABLE,
    "Importing it": import_checks.TABLE,
    "Handlers": handler_checks.TABLE,
    "What prepare may do": prepare_checks.TABLE,
    "What prepare makes": body_checks.TABLE,
    "A vendor's faults": error_checks.TABLE,
    "Streams that fail": stream_checks.TABLE,
    "Answers of the counterpart": answer_checks.TABLE,
    "Refusals of the counterpart": refusal_checks.TABLE,
    "One attribute at a time": attribute_checks.TABLE,
    "Conversations": chat_checks.TABLE,
    "Files": media_checks.TABLE,
    "Streams of the counterpart": live_stream_checks.TABLE,
    "Remote jobs": remote_checks.TABLE,
    "Receipts": receipt_checks.TABLE,
    "Batches": batch_checks.TABLE,
    "Cancelling": cancel_checks.TABLE,
    "The process": process_checks.TABLE,
    "The key": secret_checks.TABLE,
    "Mocked calls": mock_checks.TABLE,
}
"""The checks by theme, as the reference shows them."""
_TABLE: Mapping[str, CheckRow] = {check.id: (look, check) for table in CHECK_TABLES.values() for look, check in table}

CHECKS: tuple[Check, ...] = tuple(check for _, check in _TABLE.values())
"""Every check, in the order in which they are carried out."""


def conformance(
    plugin: str,
    *,
    only: Iterable[str] = (),
    samples: Samples | None = None,
    streams: Mapping[str, bytes] | None = None,
    refuse: Mapping[str, str] | None = None,
) -> Report:
    """Check an installed plugin (its package, entry point or distribution), offline and without a key.

    `only` names checks by id (none: all). `samples` are attribute values by model name or wire, for models that the
    usual ones do not suit; `streams` a whole answer (`text/event-stream`) by wire, to check success as well; `refuse`
    reasons by check id: those checks are not carried out. Samples and refusals are added to those of the plugin's
    plugin.toml. Call it outside of an event loop. Raises ConfigError for an unknown check and a refusal without a reason.
    """
    wanted = set(only)
    for name in sorted(wanted.difference(_TABLE)):
        raise ConfigError(_unknown(name))
    for name, reason in (refuse or {}).items():
        problem = _wrong_refusal(name, reason)
        if problem:
            raise ConfigError(problem)
    subject = Subject(plugin, samples or {}, streams or {}, refuse or {})
    outcomes = [_examine(subject, check) for check in CHECKS if not wanted or check.id in wanted]
    return Report(plugin, tuple(outcomes), _examined(subject))


def _unknown(name: str) -> str:
    return f"there is no conformance check {name!r}{near_or_known(name, _TABLE)}"


def _wrong_refusal(name: str, reason: object) -> str:
    if name not in _TABLE:
        return _unknown(name)
    if not isinstance(reason, str) or len(reason.split()) < _FEWEST_WORDS:
        return f"the check {name!r} is refused without a reason: say in some words why it does not suit the plugin"
    return ""


def _examine(subject: Subject, check: Check) -> Outcome:
    reason = subject.refusals.get(check.id, "")
    if reason:
        return Outcome(check, reason=reason, refused=True)
    look, _ = _TABLE[check.id]
    try:
        return Outcome(check, tuple(look(subject)))
    except NotApplicableError as missing:
        return Outcome(check, reason=str(missing))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - one plugin's surprise must not keep the other checks from being told
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        told = f"{type(error).__name__}: {error}"
        return Outcome(check, (Finding(where, f"the check itself breaks: {told}", breaks=told),))


def _examined(subject: Subject) -> Examined:
    found = subject.found
    if found is None:
        return Examined(subject.name)
    if not found.usable or found.manifest is None:
        return Examined(subject.name, found.distribution, found.version)
    wanted = {str(row.operation) for row in subject.rows}
    return Examined(
        plugin=subject.name,
        distribution=found.distribution,
        version=found.version,
        api=found.manifest.api,
        counterpart=bool(found.manifest.loopback and wanted),
        unheard=tuple(sorted(wanted - subject.exercised)),
    )


class Conformance:
    """Tests of a plugin, one for each check, for pytest and every runner that collects methods `test_…`.

    ```python
    from callsheet.testing import Conformance


    class TestAcme(Conformance, plugin="callsheet_acme"): ...
    ```

    The arguments are those of `conformance`. A refused check is a skipped test with the reason. Raises TypeError when the
    class is made for an argument that is wrong, and for a subclass or a base class that replaces the test of a check.
    """

    def __init_subclass__(
        cls,
        *,
        plugin: str = "",
        samples: Samples | None = None,
        streams: Mapping[str, bytes] | None = None,
        refuse: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init_subclass__(**more)
        if not plugin:
            raise TypeError(
                f'{cls.__name__} needs the plugin: class {cls.__name__}(Conformance, plugin="callsheet_acme")'
            )
        for name, reason in (refuse or {}).items():
            problem = _wrong_refusal(name, reason)
            if problem:
                raise TypeError(f"{cls.__name__}: {problem}")
        subject = Subject(plugin, samples or {}, streams or {}, refuse or {})
        for check in CHECKS:
            test = _test_of(subject, check)
            if any(test.__name__ in vars(base) for base in cls.__mro__ if not _made_here(base, test.__name__)):
                raise TypeError(
                    f"{cls.__name__} replaces {test.__name__}, the test of the check {check.id!r}: checks cannot be "
                    f'overridden; refuse it with a reason: refuse={{"{check.id}": "…"}}'
                )
            setattr(cls, test.__name__, test)


def _made_here(base: type, name: str) -> bool:
    """Whether a class has its test from the class Conformance: then a subclass may have it anew, for another plugin."""
    return hasattr(vars(base).get(name), "check")


def _test_of(subject: Subject, check: Check) -> Callable[[object], None]:
    def test(_self: object) -> None:
        __tracebackhide__ = True  # the report says what is wrong, and no line of this file does
        outcome = _examine(subject, check)
        if outcome.status is CheckStatus.REFUSED:
            raise SkipTest(f"refused: {outcome.reason}")
        first = follows(outcome, subject.told)
        if first is not None:
            why = "; ".join(sorted(causes(outcome)))
            raise AssertionError(f"{check.id} fails for the same reason as {first.check.id}: {why}")
        if outcome.findings:
            subject.told.append(outcome)
        Report(subject.name, (outcome,)).assert_ok()

    test.__name__ = f"test_{check.id.replace('-', '_')}"
    test.__qualname__ = f"Conformance.{test.__name__}"
    test.__doc__ = f"{check.holds[0].upper()}{check.holds[1:]}."
    test.check = check  # type: ignore[attr-defined]
    return test
