"""The bytes of an attachment, as a file to be saved and never as a page of ours."""

import re
from urllib.parse import quote

from textgate.api.operation import Content
from textgate.domain.errors import Invalid, NotFound
from textgate.domain.inbound import Attachment
from textgate.gateway.inbox import bytes_of
from textgate.store.base import Store

UNKNOWN_TYPE = "application/octet-stream"
LONGEST_NAME = 100
_WORD = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
_TYPE = re.compile(f"{_WORD}/{_WORD}", re.IGNORECASE)
_RISKY = re.compile(r"[^A-Za-z0-9._ -]")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f/\\]")
_LARGEST = 2**63 - 1

# Whatever it is, and whatever a browser takes it for: it runs nothing, and asks for nothing.
_SAFE = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; sandbox"),
    ("Cache-Control", "private, no-store"),
)


async def read_attachment(store: Store, account_id: str, inbound_id: str, part: str) -> Content:
    """Return one part of a message. Raises ``Invalid`` for what is no number, ``NotFound``."""
    if not (part.isascii() and part.isdecimal()):
        raise Invalid("a part of a message is named by its number")
    part_id = int(part[:20])
    found = None
    if part_id <= _LARGEST:
        found = await store.read(lambda tx: tx.inbox.attachment(account_id, inbound_id, part_id))
    data = None if found is None else bytes_of(found)
    if found is None or data is None:
        raise NotFound("attachment not found")
    kind = found.content_type if _TYPE.fullmatch(found.content_type) else UNKNOWN_TYPE
    headers = (("Content-Disposition", f"attachment; {_file_name(found)}"), *_SAFE)
    return Content(data, kind, headers=headers)


def name_of(attachment: Attachment) -> str:
    """Return what a list calls it: its own name, or one by its number."""
    return attachment.name or f"part-{attachment.part_id}"


def _file_name(attachment: Attachment) -> str:
    """Return the name as RFC 6266 wants it, which is in ASCII first."""
    name = _UNPRINTABLE.sub("_", name_of(attachment)).strip(" .")[:LONGEST_NAME]
    name = name or f"part-{attachment.part_id}"  # it was dots alone
    plain = _RISKY.sub("_", name)
    exact = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'filename="{plain}"{exact}'
