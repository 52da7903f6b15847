"""Messages in the air: what is told of each number once it is known (A §4.3, §7.3)."""

from collections.abc import Callable, Coroutine
from typing import Any

from textgate.domain.event import EventType
from textgate.domain.lifecycle import State
from textgate.domain.times import Milliseconds
from textgate.phone.happening import Happening, Kind
from textgate.phone.own import Own
from textgate.phone.payloads import Payload, Words
from textgate.phone.plan import Departure
from textgate.phone.radio import Flight

Spawn = Callable[[Coroutine[Any, Any, None]], object]
SERVICE_CENTRE = "+79990000000"
"""Whose reports these are, as the app quotes it."""


class Air:
    """Tells of each number when its time has come."""

    def __init__(
        self, own: Own, words: Words, spawn: Spawn, tell: Callable[[Happening], None]
    ) -> None:
        self._own, self._words, self._spawn, self._tell = own, words, spawn, tell

    def launch(self, departure: Departure, flight: Flight) -> None:
        """Begin to tell of a number that is handed over now."""
        self._spawn(self._fly(departure, flight, self._own.clock.now()))

    async def _fly(self, departure: Departure, flight: Flight, start: Milliseconds) -> None:
        await self._until(start + flight.sent_after_ms)
        if flight.failure is not None:
            return await self.fail(departure, flight.failure)
        await self._sent(departure)
        for receipt in flight.receipts:
            await self._until(start + receipt.after_ms)
            if receipt.state is State.FAILED:
                reason = f"Delivery result from SC {SERVICE_CENTRE}: {receipt.status}"
                return await self.fail(departure, reason)
            if receipt.state is State.DELIVERED:
                await self._delivered(departure)
        return None

    async def _until(self, at: Milliseconds) -> None:
        await self._own.clock.sleep(at - self._own.clock.now())

    async def _sent(self, departure: Departure) -> None:
        payload = self._words.sent(departure, self._own.clock.now())
        await self._told(EventType.SMS_SENT, payload, departure, "sent", "sent to")

    async def _delivered(self, departure: Departure) -> None:
        payload = self._words.delivered(departure, self._own.clock.now())
        await self._told(EventType.SMS_DELIVERED, payload, departure, "delivered", "delivered to")

    async def fail(self, departure: Departure, reason: str) -> None:
        """Tell that a number was not reached; that is the last word on it."""
        payload = self._words.failed(departure, self._own.clock.now(), reason)
        await self._told(EventType.SMS_FAILED, payload, departure, "failed", f"{reason}:")

    async def _told(
        self, type_: EventType, payload: Payload, departure: Departure, kind: Kind, text: str
    ) -> None:
        await self._own.fire(type_, payload)
        self._tell(departure.happening(self._own.clock.now(), kind, text))
