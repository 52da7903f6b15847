"""What all nouns share: the transaction they speak through."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textgate.store.base import Tx


class Noun:
    """A group of statements about one thing."""

    def __init__(self, tx: "Tx") -> None:
        self._tx = tx
