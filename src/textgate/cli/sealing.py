"""Encrypting what ``textgate send`` sends, and showing its states with the numbers one knows."""

import secrets
from typing import Any

from textgate.cli.exits import Exit, Stop
from textgate.domain.encryption import SALT_BYTES, encrypt


class Sealing:
    """Encrypts with one passphrase, and remembers what it has encrypted."""

    def __init__(self, passphrase: str) -> None:
        if not passphrase:
            raise Stop(Exit.USAGE, "the passphrase is empty")
        self._passphrase = passphrase
        self._opened: dict[str, str] = {}

    def seal(self, text: str) -> str:
        """Return ``text`` encrypted, each time anew."""
        value = encrypt(text, self._passphrase, secrets.token_bytes(SALT_BYTES))
        self._opened[value] = text
        return value

    def opened(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return the state of a message with the numbers that were sealed here, as they were."""
        recipients = [
            {**one, "phoneNumber": self._opened.get(one["phoneNumber"], one["phoneNumber"])}
            for one in message["recipients"]
        ]
        return {**message, "recipients": recipients}
