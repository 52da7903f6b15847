"""A phone's own place in its own store."""

from collections.abc import Callable
from typing import TypeVar

from textgate.domain.account import Account
from textgate.domain.device import Device
from textgate.domain.errors import NotFound
from textgate.domain.event import EventType
from textgate.domain.phone import mask
from textgate.domain.times import Clock
from textgate.engine.insist import insist
from textgate.gateway.phone_events import PhoneEvent, take
from textgate.phone.payloads import Payload
from textgate.store.base import Store, Tx

T = TypeVar("T")
Work = Callable[[Tx, Account, Device], T]


class Own:
    """The account and the device of one phone, and writing as that phone."""

    def __init__(self, store: Store, clock: Clock, account_id: str, device_id: str) -> None:
        self.store, self.clock = store, clock
        self.account_id, self.device_id = account_id, device_id

    async def read(self, work: Work[T]) -> T:
        return await self.store.read(lambda tx: self._as_phone(tx, work))

    async def write(self, work: Work[T]) -> T:
        """Write, again and again while the disk is full: what happened on the air has happened.

        Raises ``NotFound`` when the device is gone.
        """
        return await insist(self.store, self.clock, lambda tx: self._as_phone(tx, work))

    async def fire(self, type_: EventType, payload: Payload, *, quiet: bool = False) -> bool:
        """Take an event of this phone; False: it was known."""
        return await self.write(
            lambda tx, account, device: fire(tx, account, device, type_, payload, quiet=quiet)
        )

    def _as_phone(self, tx: Tx, work: Work[T]) -> T:
        account = tx.accounts.get(self.account_id)
        device = tx.devices.get(self.account_id, self.device_id)
        if account is None or device is None:
            raise NotFound("device not found")
        return work(tx, account, device)


def fire(
    tx: Tx,
    account: Account,
    device: Device,
    type_: EventType,
    payload: Payload,
    *,
    quiet: bool = False,
) -> bool:
    """Take an event within a write; False: it was known. ``quiet``: webhooks hear nothing of it."""
    if type_ is EventType.SMS_FAILED:
        context = {
            "messageId": payload["messageId"],
            "phoneNumber": mask(payload["phoneNumber"]),
        }
        tx.logs.add(account.id, "WARN", "messages", payload["reason"], context)
    event = PhoneEvent(id=tx.new_id(), event=type_, payload=payload)
    return take(tx, account, device, event, quiet=quiet)
