"""Lists: ``{"items": […], "next": …}``, and the cursor in it.

A cursor names the last item by what the list is sorted by, so it stays good when items are added
or removed. To callers it is opaque.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from textgate.domain.errors import Invalid

T = TypeVar("T")
V = TypeVar("V")

Limit = Annotated[int, msgspec.Meta(ge=1, le=200, description="At most so many items.")]
DEFAULT_LIMIT = 50
LARGEST = 2**63 - 1


class Paging(msgspec.Struct):
    """Which part of a list."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Annotated[
        str | None, msgspec.Meta(description="``next`` of the page before, unchanged.")
    ] = None


class Page(msgspec.Struct, Generic[T]):
    """One part of a list; ``next`` is null on the last one."""

    items: list[T]
    next: str | None = None


def encode_cursor(*position: int | str) -> str:
    """Return the cursor for an item at this position of the order."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode_cursor(cursor: str | None, shape: type[V]) -> V | None:
    """Return the position in a cursor; ``shape`` is a tuple type. Raises ``Invalid``."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(raw, type=shape)
        if isinstance(place, tuple) and any(isinstance(n, int) and abs(n) > LARGEST for n in place):
            raise ValueError("a number that no database holds")
        return place
    except (binascii.Error, ValueError):
        raise Invalid("this is no cursor of this list", field="cursor") from None


def page_of(
    found: Sequence[T], limit: int, position: Callable[[T], tuple[int | str, ...]]
) -> tuple[Sequence[T], str | None]:
    """Return at most ``limit`` of what was found, and the cursor if more was found than that."""
    if len(found) <= limit:
        return found, None
    kept = found[:limit]
    return kept, encode_cursor(*position(kept[-1]))


def part_of(
    everything: Sequence[T], paging: Paging, shape: Any, position: Callable[[T], Any]
) -> tuple[Sequence[T], str | None]:
    """Return a page of a short list that is at hand, sorted by ``position``."""
    after = decode_cursor(paging.cursor, shape)
    rest = everything if after is None else [item for item in everything if position(item) > after]
    return page_of(rest, paging.limit, position)
