"""The phone itself: it sends what is in its queue at the app's pace, and receives (A §7)."""

from collections.abc import Callable

from textgate.domain.times import Clock
from textgate.phone.behaviour import Behaviour
from textgate.phone.happening import Happening
from textgate.phone.incoming import Incoming
from textgate.store.base import Store


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
        self._store, self._clock, self._tell = store, clock, tell
        self._account_id, self._device_id = account_id, device_id
        self.behaviour = behaviour

    async def run(self) -> None:
        """Say ``app:started``, then send, ping and export until cancelled."""
        raise NotImplementedError

    async def receive(self, incoming: Incoming) -> None:
        """Take a message from the air; one that is known already does nothing."""
        raise NotImplementedError

    async def ping(self) -> None:
        """Fire ``system:ping`` with the phone's health."""
        raise NotImplementedError
