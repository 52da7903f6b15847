"""The rules are told in the words of the first dialect; here they get the words of this API."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from textgate.domain.errors import TextgateError

_WORDS = {
    "phoneNumbers": "to",
    "textMessage.text": "text",
    "textMessage": "text",
    "dataMessage.data": "data",
    "dataMessage.port": "port",
    "dataMessage": "data",
    "simNumber": "sim_number",
    "scheduleAt": "schedule_at",
    "validUntil": "valid_until",
    "ttl": "ttl_s",
}
_PLACES = _WORDS | {"message": "text"}
_WORD = re.compile(rf"\b({'|'.join(map(re.escape, sorted(_WORDS, key=len, reverse=True)))})\b")


@contextmanager
def own_words(*, device: str = "device_id") -> Iterator[None]:
    """Rename the members that an error speaks of; ``device`` is what deviceId is called here."""
    try:
        yield
    except TextgateError as error:
        message = _WORD.sub(lambda found: _WORDS[found[1]], error.message)
        place = error.field and (device if error.field == "deviceId" else _renamed(error.field))
        raise type(error)(message, field=place, details=error.details) from None


def _renamed(place: str) -> str:
    return _PLACES.get(place, place)
