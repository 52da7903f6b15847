"""A phone and its server over HTTP: the queue, reports, webhooks and settings (A §1.6, §3)."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from textgate.domain.device import DeviceEvent, Nudge
from textgate.domain.errors import Invalid, TextgateError, Unavailable
from textgate.domain.preferences import Document
from textgate.domain.times import Clock, Milliseconds
from textgate.outbound.event_stream import ServerEvent
from textgate.phone.accounts import Membership
from textgate.phone.behaviour import Behaviour
from textgate.phone.chore import Chore
from textgate.phone.happening import Happening, Kind
from textgate.phone.mobile_api import MobileApi, NotDone, QueueItem
from textgate.phone.network import Network, Offline
from textgate.phone.pull import Taken, cancel_here, take
from textgate.phone.reports import Reports, ReportTrouble, cancelled
from textgate.phone.sync import merge_settings, replace_webhooks
from textgate.store.base import Store, Tx

POLL_MS = 15 * 60_000
SYNC_MS = 24 * 3_600_000


def reconnect_after(attempts: int) -> Milliseconds:
    """How long the app waits before it opens its event stream again (A §3.10)."""
    if attempts <= 5:
        return 5_000
    return 30_000 if attempts <= 10 else 60_000


class Uplink:
    """One phone at its server."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        network: Network,
        api: MobileApi,
        account_id: str,
        member: Membership,
        behaviour: Behaviour,
        tell: Callable[[Happening], None],
        *,
        trouble: ReportTrouble,
        dice: Random,
    ) -> None:
        self._store, self._clock, self._network = store, clock, network
        self._api, self._account_id, self._known = api, account_id, member.known
        self._behaviour, self._tell = behaviour, tell
        self.reports = Reports(
            store,
            clock,
            network,
            account_id,
            member.known.id,
            lambda patch: api.report(self._known, patch),
            offset_minutes=behaviour.offset_minutes,
            trouble=trouble,
            dice=dice,
        )
        self._pulling = asyncio.Lock()
        self._messages = self._chore(self._pull, POLL_MS)
        self._webhooks = self._chore(self._fetch_webhooks, SYNC_MS)
        self._settings = self._chore(self._fetch_settings, SYNC_MS)
        self.told_webhooks = asyncio.Event()
        """Which webhooks there are has been asked, and answered."""

    def _chore(self, do: Callable[[], Any], every_ms: Milliseconds) -> Chore:
        return Chore(
            self._clock,
            self._network,
            do,
            every_ms=every_ms,
            tell=lambda problem: self._say("trouble", problem.message),
        )

    @property
    def idle(self) -> bool:
        """Nothing is under way or waits to be told."""
        chores = (self._messages, self._webhooks, self._settings)
        return self.reports.idle and all(chore.resting for chore in chores)

    def pull(self) -> None:
        """Look into the queue soon."""
        self._messages.want()

    async def run(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (
                self.reports.run,
                self._messages.run,
                self._webhooks.run,
                self._settings.run,
                self._listen,
            ):
                group.create_task(work())

    async def _listen(self) -> None:
        """Hold the event stream open, and do as it says."""
        attempts = 0
        while True:
            why = "the server closed the event stream"
            try:
                async with self._network.held(), self._api.events(self._known) as events:
                    attempts = 0
                    self._say("connected", "the event stream is open")
                    self.pull()
                    async for event in events:
                        await self._hear(event)
            except Unavailable as problem:
                why = problem.message
            except Offline:
                why = "the phone is offline"
            attempts += 1
            wait_ms = reconnect_after(attempts)
            self._say("disconnected", why, again_s=wait_ms // 1000)
            await self._clock.sleep(wait_ms)
            await self._network.up.wait()

    async def _hear(self, event: ServerEvent) -> None:
        data = _data(event)
        if event.name == DeviceEvent.MESSAGE_ENQUEUED:
            self.pull()
        elif event.name == DeviceEvent.MESSAGE_CANCELLED:
            await self._cancel(data.get("messageId", ""))
        elif event.name == DeviceEvent.WEBHOOKS_UPDATED:
            self._webhooks.want()
        elif event.name == DeviceEvent.SETTINGS_UPDATED:
            self._settings.want()
        elif event.name == DeviceEvent.MESSAGES_EXPORT_REQUESTED:
            await self._nudge(DeviceEvent.MESSAGES_EXPORT_REQUESTED, data)
        else:
            self._say("trouble", f"the app knows no event {event.name[:40]}")

    async def _cancel(self, message_id: str) -> None:
        async with self._pulling:  # what was just pulled is stored first
            taken = await self._store.write(
                lambda tx: cancel_here(tx, self._account_id, message_id)
            )
        if taken is Taken.UNKNOWN:
            self.pull()
        else:
            self._follow_up(taken, message_id)

    async def _pull(self) -> None:
        async with self._pulling:
            items = await self._api.queue(self._known, await self._order())
            taken = await asyncio.gather(*map(self._take, items))
        if new := taken.count(Taken.NEW):
            self._say("fetched", f"{new} new of {len(items)} in the queue", new=new)

    async def _order(self) -> str:
        messages = (await self._document()).get("messages") or {}
        return "fifo" if messages.get("processing_order") == "FIFO" else "lifo"

    async def _document(self) -> Document:
        account = await self._store.read(lambda tx: tx.accounts.get(self._account_id))
        return account.settings if account else {}

    async def _take(self, item: QueueItem) -> Taken:
        """Take one item; one that fails does not stop the rest."""
        try:
            taken = await take(self._store, self._account_id, self._known.id, item)
            if taken is Taken.UNKNOWN:
                now, offset = self._clock.now(), self._behaviour.offset_minutes
                await self._api.report(self._known, cancelled(item, now, offset))
        except TextgateError as problem:
            said = f"a message of the queue could not be taken: {problem.message}"
            self._say("trouble", said, item.id)
            return Taken.NOTHING
        self._follow_up(taken, item.id)
        return taken

    def _follow_up(self, taken: Taken, message_id: str) -> None:
        if taken is Taken.KNOWN:
            self.reports.want(message_id)
        elif taken is Taken.CANCELLED:
            self._say("cancelled", "cancelled before its turn", message_id)

    async def _fetch_webhooks(self) -> None:
        pulled = await self._api.webhooks(self._known)
        version = self._behaviour.version
        try:
            await self._store.write(
                lambda tx: replace_webhooks(tx, self._account_id, pulled, version=version)
            )
        except Invalid as wrong:
            raise NotDone(wrong.message) from None
        self.told_webhooks.set()
        self._say("settings", f"{len(pulled)} webhooks of the server", webhooks=len(pulled))

    async def _fetch_settings(self) -> None:
        pulled = await self._api.settings(self._known)
        try:
            changed = await self._store.write(
                lambda tx: merge_settings(tx, self._account_id, pulled)
            )
        except Invalid as wrong:
            raise NotDone(wrong.message) from None
        if changed:
            self._say("settings", "settings of the server")
            await self._nudge(DeviceEvent.SETTINGS_UPDATED, {})

    async def _nudge(self, event: DeviceEvent, data: dict[str, str]) -> None:
        """Tell the handset."""
        nudge = Nudge(self._account_id, self._known.id, event, tuple(data.items()))

        def tell(tx: Tx) -> None:
            tx.nudge(nudge)

        await self._store.write(tell)

    def _say(self, kind: Kind, text: str, message_id: str | None = None, **fields: Any) -> None:
        at = self._clock.now()
        self._tell(Happening(at=at, kind=kind, text=text, message_id=message_id, fields=fields))


def _data(event: ServerEvent) -> dict[str, str]:
    """The data of an event; what is no object of texts counts as none (A §3.9)."""
    try:
        return msgspec.json.decode(event.data, type=dict[str, str] | None) or {}
    except msgspec.DecodeError:
        return {}
