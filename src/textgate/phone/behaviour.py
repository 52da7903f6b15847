"""How a terminal phone behaves: its SIMs, how long things take on it, and what goes wrong."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from textgate.domain.device import SimCard
from textgate.domain.times import Milliseconds

Span = tuple[Milliseconds, Milliseconds]
"""From the least to the most; each time it is another, evenly spread."""
Share = Annotated[float, Meta(ge=0, le=1)]

DEFAULT_RESULT = "RESULT_ERROR_GENERIC_FAILURE"
RESULTS = {
    "RESULT_ERROR_GENERIC_FAILURE": "Generic failure cause",
    "RESULT_ERROR_RADIO_OFF": "Failed because radio was explicitly turned off",
    "RESULT_ERROR_NULL_PDU": "Failed because no pdu provided",
    "RESULT_ERROR_NO_SERVICE": "Failed because service is currently unavailable",
    "RESULT_ERROR_LIMIT_EXCEEDED": "Failed because we reached the sending queue limit",
    "RESULT_ERROR_FDN_CHECK_FAILURE": "Failed because FDN is enabled",
    "RESULT_ERROR_SHORT_CODE_NOT_ALLOWED": "Failed because short code is not allowed",
    "RESULT_NETWORK_REJECT": "Failed because of a network rejection",
    "RESULT_MODEM_ERROR": "Failed because the modem returned an error",
}
"""What Android says of an SMS that could not be sent, and in how many words (A §4.3)."""

ONE_SIM = (SimCard(slot_index=0, sim_number=1, phone_number="+79990000001", carrier_name="Sim"),)


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a phone in the terminal. The default is quick and without trouble."""

    model: str = "Textgate/Terminal"
    """Manufacturer and product, as the app names a device."""
    version: str = "1.68.0"
    """Of the app that it stands for."""
    sims: tuple[SimCard, ...] = ONE_SIM
    """Not masked; in the order of their slots."""
    region: Annotated[str, Meta(pattern="^[A-Z]{2}$")] = "RU"
    """Where a number without ``+`` is from, as the SIM's country says (A §2.10)."""
    offset_minutes: int = 0
    """The phone's clock against UTC; its work hours follow it."""
    hand_over_ms: Span = (20, 60)
    """From its turn to Processed: the app hands it to the system."""
    send_ms: Span = (300, 900)
    """From Processed to Sent or Failed, for each part."""
    deliver_ms: Span = (500, 2_500)
    """From Sent to the delivery report of each part."""
    failures: Share = 0.0
    """Of the numbers; nothing reaches them."""
    result: str = DEFAULT_RESULT
    """What Android says of those, one of ``RESULTS``."""
    refused: Share = 0.0
    """Of the delivery reports: a status of 64 and more, which is a failure."""
    trying: Share = 0.0
    """Of the delivery reports: one comes before them that says "still trying"."""
    missed: Share = 0.0
    """Of the incoming messages: Android does not tell the app. They are found by an export of the
    phone's inbox, as long as the phone runs."""
    lost_receipts: Share = 0.0
    """Of the delivery reports: they never come."""
    receipts: bool = True
    """The network sends delivery reports at all."""
    battery: Annotated[int, Meta(ge=0, le=100)] = 100
    charging: bool = True
    connection: Literal["wifi", "cellular", "none"] = "wifi"
    passphrase: str | None = None
    """Opens encrypted messages."""
    seed: int | None = None
    """Makes the dice fall the same way again."""
