"""What the rest of the house knows of a database: ``Store`` and ``Tx``."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from textgate.domain.device import Nudge
from textgate.domain.event import CallJob
from textgate.domain.message import SendJob
from textgate.domain.times import Milliseconds

if TYPE_CHECKING:
    from textgate.store.accounts import Accounts, Logs, Tokens
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
    from textgate.store.watching import Mailbox, Moves
    from textgate.store.webhooks import Webhooks

T = TypeVar("T")
Job = SendJob | CallJob
Row = tuple[Any, ...]

LEASE_MS = 120_000
"""How long taken work belongs to its taker: the longest attempt (60 s), its wait in memory, and
room to spare. When it ends, anybody may take the work again."""

BEGIN_WITHIN_MS = 50_000
"""Work that was not begun so long after it was taken is given back: an attempt begun later could
outlive the lease, and somebody else begin the same."""


class Intake(Protocol):
    """The engine of this process, as far as a write needs to know it."""

    def room(self, job_type: type[Job], lane: str) -> bool:
        """Whether work of this lane, born now, would be begun here soon."""
        ...

    def take(self, job: Job) -> None:
        """Take work that has just been committed, leased to this process."""
        ...

    def withdraw(self, job: Job) -> bool:
        """Drop work that is held here and not begun; False if it has begun or is not here."""
        ...

    def poke(self, at: Milliseconds) -> None:
        """Be told that work nobody holds has been committed, due at ``at``."""
        ...

    def nudge(self, nudge: Nudge) -> None:
        """Be told what a phone should hear that has no event stream open in this process."""
        ...


class Tx(Protocol):
    """One transaction, seen by one ``work``. Not to be kept after it returns."""

    now: Milliseconds
    """The time of this transaction."""

    holder: str
    """Names this process in leases."""

    vault: "Vault"
    """Seals and opens the secrets in rows."""

    accounts: "Accounts"
    tokens: "Tokens"
    logs: "Logs"
    channels: "Channels"
    messages: "Messages"
    recipients: "Recipients"
    webhooks: "Webhooks"
    events: "Events"
    deliveries: "Deliveries"
    inbox: "Inbox"
    conversations: "Conversations"
    devices: "Devices"
    phone_queues: "PhoneQueues"
    ingresses: "Ingresses"
    sms_gateways: "SmsGateways"
    scripts: "Scripts"
    templates: "Templates"

    def new_id(self) -> str:
        """Return a fresh id, greater than all before it in this database's order of commits."""
        ...

    def all(self, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> list[Row]: ...

    def one(self, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> Row | None: ...

    def run(self, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> int:
        """Execute and return how many rows changed."""
        ...

    def lease(self, job_type: type[Job], lane: str) -> bool:
        """Whether new work of ``lane`` may be born leased to this process."""
        ...

    def hand_over(self, job: Job) -> None:
        """Give leased work to this process's engine once the transaction is committed."""
        ...

    def afterwards(self, act: Callable[[], None]) -> None:
        """Do ``act`` on the event loop once the transaction is committed; it must not raise."""
        ...

    def moved(self, account_id: str, message_id: str) -> None:
        """Tell those who watch this message, after the commit, that a recipient of it moved."""
        ...

    def nudge(self, nudge: Nudge) -> None:
        """Tell a phone something once the transaction is committed: over the event streams it has
        open in this process, or else by the engine."""
        ...

    def hang_up(self, device_id: str) -> None:
        """Close the mailboxes of a phone once the transaction is committed: it is no more, or its
        token is no longer good."""
        ...

    def withdraw(self, job: Job) -> bool:
        """Take leased work back from this process's engine; False if it may have begun."""
        ...

    def due(self, at: Milliseconds) -> None:
        """Tell this process's engine, after the commit, that unleased work is due at ``at``."""
        ...

    def shrink(self) -> None:
        """Give a little of the space of removed rows back, without blocking anybody for long."""
        ...

    def memo(self, noun: str, key: str, load: Callable[[], T]) -> T:
        """Return ``load()``, remembered until ``changed(noun)`` or a foreign write."""
        ...

    def changed(self, noun: str) -> None:
        """Forget what was remembered of ``noun``, here and in caches beside the store."""
        ...


class Store(Protocol):
    """A database. Writes are grouped into few commits; each is all or nothing for itself."""

    intake: Intake | None

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` in a transaction and return its result once that is on disk.

        ``work`` is a plain function: it cannot await, so no transaction waits for a network. It
        may run again when a neighbour in the group failed, so it touches nothing but ``tx``.
        Whatever ``work`` raises is raised here, and then nothing of it is kept. Raises
        ``Unavailable`` when the database cannot take writes now (disk full, locked).
        """
        ...

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` on a snapshot, off the event loop. It must not write."""
        ...

    def watch(self, account_id: str, message_id: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set after each commit of this process that moved a recipient of it.

        Clear it, look, then wait. Who waits looks again once a second all the same: what another
        process moves does not set it. It may be set once for nothing.
        """
        ...

    def follow(self, account_id: str) -> AbstractContextManager["Moves"]:
        """What moves while the context is entered: each message of the account that a commit of
        this process moved from then on."""
        ...

    def listen(self, device_id: str) -> AbstractContextManager["Mailbox"]:
        """A mailbox that gets the nudges for a phone while the context is entered."""
        ...

    def heard(self, device_id: str) -> bool:
        """Whether anybody in this process listens for a phone."""
        ...

    def generation(self, noun: str) -> int:
        """A number that changes when ``noun`` (account, webhook, device …) may have."""
        ...

    async def close(self) -> None: ...
