"""The engine's services in one object, and the context that each call gets from them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callsheet.context import JobContext
from callsheet.jobs import Job
from callsheet.keeping import Keeper
from callsheet.plugin_host import PluginHost
from callsheet.registry import BoundHandler
from callsheet.secrets import Redactor, SecretResolver, SecretScope
from callsheet.stores.blobs import LocalBlobs
from callsheet.stores.ledger import Ledger
from callsheet.transfer.download import GuardedTransfer
from callsheet.transfer.endpoint import Endpoint
from callsheet.transfer.pool import ConnectionPool

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

__all__ = ["Services", "library_log"]


def library_log(redactor: Redactor | None = None) -> BoundLogger:
    """The library's logger: silent until the application configures the stdlib logger `callsheet`.

    What goes through it is redacted first, tracebacks too.
    """
    import structlog

    def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {k: redactor.value(v) for k, v in event.items()} if redactor is not None else event

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
            structlog.processors.format_exc_info,
            redact,
            structlog.stdlib.render_to_log_kwargs,
        ],
    )
    return bound


@dataclass(frozen=True)
class Services:
    """What the engine works with. `clock` gives seconds since the epoch; `sleep` waits (tests hand in their own)."""

    ledger: Ledger
    blobs: LocalBlobs
    host: PluginHost
    secrets: SecretResolver
    redactor: Redactor
    state: Path
    connections: ConnectionPool = field(default_factory=ConnectionPool)
    clock: Callable[[], float] = field(default=time.time)
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep)

    @cached_property
    def log(self) -> BoundLogger:
        """The library's logger, made when it is first used."""
        return library_log(self.redactor)

    @cached_property
    def keeper(self) -> Keeper:
        """Stores what calls give."""
        return Keeper(self.blobs, self.sleep, self.log.warning)

    def transfer(self, origin: str) -> GuardedTransfer:
        """HTTP to one origin (its `endpoint`), and the way in for files; the same object for all calls of a provider."""
        if origin not in self._transfers:
            self._transfers[origin] = GuardedTransfer(
                Endpoint(self.connections, origin), self.connections, self.keeper.keep
            )
        return self._transfers[origin]

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
        transfer = self.transfer(bound.origin)
        return JobContext(
            job=job,
            key=key,
            request_digest=request_digest,
            sample=sample,
            attempt=attempt,
            origin=bound.origin,
            secrets=self.scope(bound.asker, bound.secrets),
            files=self.blobs,
            http=transfer.endpoint,
            transfer=transfer,
            log=self.log.bind(job=job.id, ref=str(job.ref), attempt=attempt),
            workspace=self.state / "plugins" / bound.plugin,
            clock=self.clock,
            accepted=accepted,
            store=self.keeper.keep,
        )
