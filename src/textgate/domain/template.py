"""Message templates: one text for each name and language."""

import re

import msgspec

from textgate.domain.errors import Invalid
from textgate.domain.times import Milliseconds

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Template(msgspec.Struct, kw_only=True):
    """The text of one template in one language, as its owner wrote it."""

    account_id: str
    name: str
    language: str
    """A BCP 47 tag."""
    text: str
    created_at: Milliseconds
    updated_at: Milliseconds


def check_name(name: str) -> None:
    """Raise ``Invalid`` unless a template may be called this."""
    if not _NAME.fullmatch(name):
        raise Invalid("a name has from 1 to 64 letters, digits, dots, - and _", field="name")
