"""Message templates: one text for each name and language."""

import msgspec

from textgate.domain.times import Milliseconds


class Template(msgspec.Struct, kw_only=True):
    """The text of one template in one language, as its owner wrote it."""

    account_id: str
    name: str
    language: str
    """A BCP 47 tag."""
    text: str
    created_at: Milliseconds
    updated_at: Milliseconds
