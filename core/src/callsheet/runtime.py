"""What an open project consists of: the values and services that planning, running and calling share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from callsheet.catalog import Catalog
from callsheet.errors import CallsheetError
from callsheet.failures import cleanse
from callsheet.pay_once import PayOnce
from callsheet.performing import Performer
from callsheet.project import Project
from callsheet.registry import BoundHandler, Registry
from callsheet.selector import Selector
from callsheet.services import Services
from callsheet.settings import Settings

__all__ = ["Runtime"]

WARM_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Runtime:
    """One open project."""

    project: Project
    settings: Settings
    services: Services
    registry: Registry
    catalog: Catalog
    performer: Performer
    selector: Selector | None = None
    _warm: set[int] = field(default_factory=set)

    @property
    def pay_once(self) -> PayOnce:
        """The one way to a provider."""
        return self.performer.pay_once

    async def warm_start(self, bounds: Sequence[BoundHandler]) -> None:
        """Let handlers import their SDKs and open their clients, once each, all at the same time."""
        cold = {id(b.handler): b for b in bounds if id(b.handler) not in self._warm}
        if cold:
            try:
                await self.registry.warm_start(
                    list(cold.values()),
                    secrets=lambda bound: self.services.scope(bound.asker, bound.secrets),
                    log=self.services.log,
                    timeout=WARM_START_SECONDS,
                )
            except CallsheetError as error:
                cleanse(error, self.services.redactor)
                raise
            self._warm.update(cold)
