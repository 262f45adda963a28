"""The engine's services in one object, and the context that each call gets from them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
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
    clock: Callable[[], float] = field(default=time.time)
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep)

    @cached_property
    def log(self) -> BoundLogger:
        """The library's logger, made when it is first used."""
        return library_log(self.redactor)

    def scope(self, plugin: str, declared: frozenset[str]) -> SecretScope:
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
        return JobContext(
            job=job,
            key=key,
            request_digest=request_digest,
            sample=sample,
            attempt=attempt,
            origin=bound.origin,
            secrets=self.scope(bound.plugin, bound.secrets),
            files=self.blobs,
            log=self.log.bind(job=job.id, ref=str(job.ref), attempt=attempt),
            workspace=self.state / "plugins" / bound.plugin,
            clock=self.clock,
            accepted=accepted,
            store=Keeper(self.blobs, self.sleep, self.log.warning).keep,
        )
