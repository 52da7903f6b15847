"""What a write or a read sees of SQLite: ``Tx`` over one connection."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import apsw

from textgate.domain.device import Nudge
from textgate.domain.identity import ENTROPY_BYTES, make_id, make_next_id, number_of
from textgate.domain.times import Clock, Milliseconds
from textgate.store.accounts import Accounts, Logs, Tokens
from textgate.store.base import Intake, Job, Row
from textgate.store.channels import Channels
from textgate.store.conversations import Conversations
from textgate.store.deliveries import Deliveries
from textgate.store.devices import Devices
from textgate.store.events import Events
from textgate.store.inbox import Inbox
from textgate.store.ingresses import Ingresses
from textgate.store.messages import Messages
from textgate.store.phone_queues import PhoneQueues
from textgate.store.recipients import Recipients
from textgate.store.scripts import Scripts
from textgate.store.sms_gateways import SmsGateways
from textgate.store.templates import Templates
from textgate.store.vault import Vault
from textgate.store.watching import Followers, Mailboxes, Watchers
from textgate.store.webhooks import Webhooks

T = TypeVar("T")
Values = Mapping[str, Any] | Sequence[Any]

MEMO_LIMIT = 10_000
SHRINK_PAGES = 256


class SqliteTx:
    """One connection, as a transaction sees it."""

    def __init__(self, connection: apsw.Connection, clock: Clock, vault: Vault) -> None:
        self.connection = connection
        self.vault = vault
        self.now: Milliseconds = 0
        self.holder = make_id(clock.now(), os.urandom(ENTROPY_BYTES))
        self.intake: Intake | None = None
        self.later: list[Callable[[], None]] = []
        self.withdrawn: dict[Any, Job] = {}
        self.soonest: Milliseconds | None = None
        self.touched: set[str] = set()
        self.watchers = Watchers()
        self.followers = Followers()
        self.mailboxes = Mailboxes()
        self._memo: dict[tuple[str, str], Any] = {}
        self._clock = clock
        self._last_id = 0
        self._cursor = connection.cursor()
        self.accounts = Accounts(self)
        self.tokens = Tokens(self)
        self.logs = Logs(self)
        self.channels = Channels(self)
        self.messages = Messages(self)
        self.recipients = Recipients(self)
        self.webhooks = Webhooks(self)
        self.events = Events(self)
        self.deliveries = Deliveries(self)
        self.inbox = Inbox(self)
        self.conversations = Conversations(self)
        self.devices = Devices(self)
        self.phone_queues = PhoneQueues(self)
        self.ingresses = Ingresses(self)
        self.sms_gateways = SmsGateways(self)
        self.scripts = Scripts(self)
        self.templates = Templates(self)

    def tick(self) -> None:
        self.now = self._clock.now()

    def go_on(self) -> None:
        """Make new ids come after those of the events there are, whatever the clock says now."""
        for account in self.accounts.all():
            newest = self.events.last_id(account.id)
            self._last_id = max(self._last_id, number_of(newest) if newest else 0)

    def new_id(self) -> str:
        self._last_id, new = make_next_id(self._last_id, self.now, os.urandom(ENTROPY_BYTES))
        return new

    def all(self, sql: str, values: Values = ()) -> list[Row]:
        return self._cursor.execute(sql, values).fetchall()

    def one(self, sql: str, values: Values = ()) -> Row | None:
        rows = self._cursor.execute(sql, values).fetchall()
        return rows[0] if rows else None

    def run(self, sql: str, values: Values = ()) -> int:
        self._cursor.execute(sql, values)
        return self.connection.changes()

    def lease(self, job_type: type[Job], lane: str) -> bool:
        return self.intake is not None and self.intake.room(job_type, lane)

    def hand_over(self, job: Job) -> None:
        if self.intake is not None:
            self.later.append(partial(self.intake.take, job))

    def afterwards(self, act: Callable[[], None]) -> None:
        self.later.append(act)

    def moved(self, account_id: str, message_id: str) -> None:
        if self.watchers:
            self.later += [event.set for event in self.watchers.of((account_id, message_id))]
        self.later += [partial(m.put, message_id) for m in self.followers.of(account_id)]

    def nudge(self, nudge: Nudge) -> None:
        self.later.append(partial(self._nudge, nudge))

    def _nudge(self, nudge: Nudge) -> None:
        if not self.mailboxes.put(nudge) and self.intake is not None:
            self.intake.nudge(nudge)

    def hang_up(self, device_id: str) -> None:
        self.later.append(partial(self.mailboxes.close, device_id))

    def withdraw(self, job: Job) -> bool:
        if job.key in self.withdrawn:  # by the run before, if the group runs again
            return True
        if self.intake is None or not self.intake.withdraw(job):
            return False
        self.withdrawn[job.key] = job
        return True

    def due(self, at: Milliseconds) -> None:
        self.soonest = at if self.soonest is None else min(self.soonest, at)

    def shrink(self) -> None:
        # A row for each page: until all are fetched, the statement is open and stops the COMMIT.
        self.all(f"PRAGMA incremental_vacuum({SHRINK_PAGES})")

    def memo(self, noun: str, key: str, load: Callable[[], T]) -> T:
        place = (noun, key)
        if place not in self._memo:
            if len(self._memo) >= MEMO_LIMIT:
                self._memo.clear()
            self._memo[place] = load()
        found: T = self._memo[place]
        return found

    def changed(self, noun: str) -> None:
        self.touched.add(noun)
        for place in [place for place in self._memo if place[0] == noun]:
            del self._memo[place]

    def forget(self) -> None:
        self._memo.clear()
