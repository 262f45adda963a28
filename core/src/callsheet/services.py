"""The engine's services in one object, and the context that each call gets from them."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callsheet.access import Access
from callsheet.admission import Admissions
from callsheet.context import JobContext, ProviderContext
from callsheet.jobs import Job
from callsheet.keeping import Keeper
from callsheet.naps import Naps
from callsheet.patience import Patience
from callsheet.plugin_host import PluginHost
from callsheet.policies import Policies
from callsheet.poll_gates import PollGate
from callsheet.registry import BoundHandler
from callsheet.secrets import Redactor, SecretResolver, SecretScope
from callsheet.stores.blobs import LocalBlobs
from callsheet.stores.ledger import Ledger
from callsheet.telemetry import Telemetry
from callsheet.transfer.download import GuardedTransfer
from callsheet.transfer.endpoint import Endpoint
from callsheet.transfer.pool import ConnectionPool
from callsheet.uploads import CallFiles, Uploads

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

__all__ = ["Services", "library_log"]


def library_log(redactor: Redactor) -> BoundLogger:
    """The library's logger: silent until the application configures the stdlib logger `callsheet`.

    What goes through it is redacted first, tracebacks too.
    """
    import structlog

    def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return redactor.mapping({key: _printable(value) for key, value in event.items()})

    logger = logging.getLogger("callsheet")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    bound: BoundLogger = structlog.wrap_logger(
        logger,
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.format_exc_info,
            redact,
            structlog.stdlib.render_to_log_kwargs,
        ],
    )
    return bound


def _printable(value: object) -> object:
    """What a formatter would make a text of, as that text: nothing is put into words after it was redacted."""
    if isinstance(value, Mapping):
        return {str(key): _printable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(each) for each in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


@dataclass(frozen=True)
class Services:
    """What the engine works with.

    `clock` gives seconds since the epoch; `sleep` waits; `chance` gives numbers from 0 to 1 (tests hand in their own).
    """

    ledger: Ledger
    blobs: LocalBlobs
    host: PluginHost
    secrets: SecretResolver
    redactor: Redactor
    state: Path
    connections: ConnectionPool = field(default_factory=ConnectionPool)
    policies: Policies = field(default_factory=Policies)
    clock: Callable[[], float] = field(default=time.time)
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep)
    chance: Callable[[], float] = field(default=random.random)
    telemetry: Telemetry = field(default_factory=Telemetry)

    @cached_property
    def log(self) -> BoundLogger:
        """The library's logger, made when it is first used."""
        return library_log(self.redactor)

    def complain(self, text: str) -> None:
        """Log the error that is being handled."""
        self.log.exception(text)  # noqa: LOG004 - whoever calls this handles one

    @cached_property
    def keeper(self) -> Keeper:
        """Stores what calls give."""
        return Keeper(self.blobs, self.sleep, self.log.warning)

    @cached_property
    def uploads(self) -> Uploads:
        """The files that providers have."""
        return Uploads(self.ledger.uploads, Patience(self.sleep, self.chance, self.log.warning))

    @cached_property
    def admissions(self) -> Admissions:
        """What requests pass before they leave."""
        return Admissions(
            self.ledger,
            self.policies,
            lambda bound: self.scope(bound.asker, bound.secrets),
            clock=self.clock,
            sleep=self.sleep,
            redact=self.redactor.text,
            warn=self.log.warning,
        )

    @cached_property
    def naps(self) -> Naps:
        """How remote jobs are waited for, and woken."""
        return Naps(self.sleep)

    @cached_property
    def poll_gates(self) -> defaultdict[str, PollGate]:
        """What polls of remote jobs pass, by provider: a process has one key for each, and so one account."""
        return defaultdict(lambda: PollGate(self.clock, self.sleep, self.chance))

    def transfer(self, origin: str) -> GuardedTransfer:
        """HTTP to one origin (its `endpoint`), and the way in for files; the same object for all calls of a provider."""
        if origin not in self._transfers:
            self._transfers[origin] = GuardedTransfer(
                Endpoint(self.connections, origin), self.connections, self.keeper.keep
            )
        return self._transfers[origin]

    @cached_property
    def _workspace(self) -> Callable[[str], Path]:
        """A plugin's folder: the path is made once, and not for each call."""
        return cache((self.state / "plugins").joinpath)

    @cached_property
    def _transfers(self) -> dict[str, GuardedTransfer]:
        return {}

    def scope(self, plugin: str, declared: Collection[str]) -> SecretScope:
        """The secrets that one plugin may look up."""
        return SecretScope(self.secrets, self.redactor, declared, plugin)

    def context(
        self,
        bound: BoundHandler,
        job: Job,
        *,
        key: str,
        request_digest: str,
        sample: int,
        attempt: int,
        accepted: Callable[[str], Awaitable[None]],
    ) -> JobContext:
        """The services for one attempt of one call."""
        transfer, secrets = self.transfer(bound.origin), self.scope(bound.asker, bound.secrets)
        return JobContext(
            job=job,
            key=key,
            request_digest=request_digest,
            sample=sample,
            attempt=attempt,
            origin=bound.origin,
            secrets=secrets,
            files=CallFiles(self.blobs, self.uploads, bound.origin, secrets, bound.plugin),
            http=transfer.endpoint,
            transfer=transfer,
            log=self.log.bind(job=job.id, ref=str(job.ref), attempt=attempt),
            workspace=self._workspace(bound.plugin),
            clock=self.clock,
            accepted=accepted,
            store=self.keeper.keep,
            webhook=bound.webhook,
            taken=partial(self._taken, key),
        )

    async def _taken(self, key: str, job_id: str) -> bool:
        return any(call.key != key for call in await self.ledger.calls_of_job(job_id))

    def provider_context(self, provider: str, plugin: str, access: Access) -> ProviderContext:
        """The services for a question that belongs to no call."""
        return ProviderContext(
            provider=provider,
            secrets=self.scope(plugin, access.secrets),
            http=self.transfer(access.origin).endpoint,
            log=self.log.bind(provider=provider),
            clock=self.clock,
        )
