"""The phone behind its own API."""

from collections.abc import Callable
from dataclasses import dataclass

from textgate.api.probes import Health
from textgate.domain.device import SimCard
from textgate.domain.errors import Invalid
from textgate.gateway.tokens import LocalTokenKey
from textgate.store.base import Tx


@dataclass(frozen=True, slots=True)
class LocalPhone:
    """What its API has to know of it."""

    account_id: str
    device_id: str
    """32 lower-case hexadecimal digits (A §1.3)."""
    model: str
    version: str
    """Of the app."""
    sims: tuple[SimCard, ...]
    """Not masked: nobody but their owner sees them here."""
    key: LocalTokenKey
    health: Callable[[Tx], Health]

    def check_device(self, asked: str | None, message: str = "Invalid device ID") -> None:
        """Raises ``Invalid`` if another device is asked for; empty and absent is this one."""
        if asked and asked != self.device_id:
            raise Invalid(message)
