"""The phone itself: it sends what is in its queue at the app's pace, and receives (A §7)."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from random import Random

import msgspec

from textgate.domain.account import Account
from textgate.domain.device import Device, DeviceEvent
from textgate.domain.event import EventType
from textgate.domain.phone import mask
from textgate.domain.times import Clock, parse_rfc3339
from textgate.phone.behaviour import Behaviour
from textgate.phone.chore import is_set_within
from textgate.phone.happening import Happening, Kind
from textgate.phone.health import health_of
from textgate.phone.incoming import STORE_OF, Incoming
from textgate.phone.own import Own
from textgate.phone.payloads import Words
from textgate.phone.sending import Sender
from textgate.store.base import Store, Tx
from textgate.store.watching import Mailbox

MISSED = 1_000
"""Messages kept that Android did not tell the app of."""
_OLD_WAY = {"false": "Disabled"}
"""``triggerWebhooks``, which older servers send; absent is true (A §3.9)."""


class Handset:
    """One phone, attached to the device of this id in its own store."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        account_id: str,
        device_id: str,
        behaviour: Behaviour,
        tell: Callable[[Happening], None],
    ) -> None:
        self._own = Own(store, clock, account_id, device_id)
        self.account_id = account_id
        self._clock, self._tell = clock, tell
        self.behaviour = behaviour
        """What is asked of its battery and connection may change while it runs."""
        self._connection = behaviour.connection
        self._words, self._dice = Words(behaviour), Random(behaviour.seed)
        self._missed: deque[Incoming] = deque(maxlen=MISSED)
        self._wake, self._settings_changed = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Say ``app:started``, then send, ping and export until cancelled, or until its device is
        removed."""
        with self._own.store.listen(self._own.device_id) as mailbox:
            async with asyncio.TaskGroup() as group:
                sender = Sender(self._own, self.behaviour, group.create_task, self._tell)
                await self._start(sender)
                working = [
                    group.create_task(self._send_for_ever(sender)),
                    group.create_task(self._ping_for_ever(sender)),
                ]
                await self._listen(mailbox, sender)
                for task in working:
                    task.cancel()

    def connect(self, *, up: bool) -> None:
        """It has the network that it was given, or none: its health says so."""
        connection = self._connection if up else "none"
        self.behaviour = msgspec.structs.replace(self.behaviour, connection=connection)

    async def receive(self, incoming: Incoming) -> None:
        """Take a message from the air; one that is known already does nothing."""
        arrived = msgspec.structs.replace(
            incoming, at=self._clock.now() if incoming.at is None else incoming.at
        )
        if self._dice.random() < self.behaviour.missed:
            self._missed.append(arrived)
        else:
            await self._fire(arrived)

    async def ping(self) -> None:
        """Fire ``system:ping`` with the phone's health."""
        health = await self._own.read(
            lambda tx, account, device: health_of(tx, account.id, self.behaviour, tx.now)
        )
        await self._own.fire(EventType.SYSTEM_PING, {"health": msgspec.to_builtins(health)})
        self._say("ping", f"ping: {health.status}, battery {self.behaviour.battery} %")

    async def _start(self, sender: Sender) -> None:
        await self._own.write(_tells_itself)
        await self._own.fire(EventType.APP_STARTED, self._words.started())
        self._say("started", f"{self.behaviour.model}, app {self.behaviour.version}")
        await sender.resume()

    async def _send_for_ever(self, sender: Sender) -> None:
        while True:
            self._wake.clear()
            next_at = await sender.send_all()
            if next_at is None:
                await self._wake.wait()
            else:
                await is_set_within(self._wake, self._clock, next_at - self._clock.now())

    async def _ping_for_ever(self, sender: Sender) -> None:
        while True:
            self._settings_changed.clear()
            every_ms = (await sender.habits()).ping_ms
            if every_ms is None:
                await self._settings_changed.wait()
            elif not await is_set_within(self._settings_changed, self._clock, every_ms):
                await self.ping()

    async def _listen(self, mailbox: Mailbox, sender: Sender) -> None:
        """Hear what the phone is told, until its device is removed."""
        while not mailbox.closed:
            for nudge in mailbox.take():
                if nudge.event is DeviceEvent.MESSAGES_EXPORT_REQUESTED:
                    await self._export(dict(nudge.data))
                elif nudge.event is DeviceEvent.SETTINGS_UPDATED:
                    self._settings_changed.set()
            sender.look_again()
            self._wake.set()
            await mailbox.filled.wait()

    async def _export(self, wanted: Mapping[str, str]) -> None:
        """Read the inbox of the system again (A §3.9): what the app knows is not told again, and
        what it missed is, if webhooks are wanted."""
        try:
            since, until = parse_rfc3339(wanted["since"]), parse_rfc3339(wanted["until"])
        except (KeyError, ValueError):
            return self._say("trouble", "an export was asked for without a span of time")
        kinds = wanted.get("messageTypes", "SMS").split(",")
        told = wanted.get("webhookDelivery") or _OLD_WAY.get(wanted.get("triggerWebhooks", ""))
        found = [
            m for m in self._missed if since <= (m.at or 0) <= until and STORE_OF[m.kind] in kinds
        ]
        for incoming in found:
            self._missed.remove(incoming)
            await self._fire(incoming, quiet=told == "Disabled")
        return self._say("exported", f"read the inbox again: {len(found)} were new")

    async def _fire(self, incoming: Incoming, *, quiet: bool = False) -> None:
        """Keep it, and tell webhooks of it unless ``quiet``; a known one changes nothing."""
        type_, payload = self._words.received(incoming, incoming.at or 0)
        if await self._own.fire(type_, payload, quiet=quiet):
            self._say("received", f"{incoming.kind} from {mask(incoming.sender)}")

    def _say(self, kind: Kind, text: str) -> None:
        self._tell(Happening(at=self._clock.now(), kind=kind, text=text))


def _tells_itself(tx: Tx, account: Account, device: Device) -> None:
    """What happens here is told by the phone's own events, once for each part of a message."""
    if not device.tells_server or device.calls_webhooks:
        tx.devices.set_listener(account.id, device.id, tells_server=True, calls_webhooks=False)
