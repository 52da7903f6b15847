"""QR codes of a text: as a picture, and as blocks for a terminal."""

import io
from functools import lru_cache

import segno

SCALE = 8
"""Pixels of one module."""


def png(text: str) -> bytes:
    return _saved(text, "png")


def svg(text: str) -> str:
    """Return a document of its own, with its size and a white ground."""
    return _saved(text, "svg").decode()


def blocks(text: str) -> str:
    """Return lines of half blocks, light on dark, with the quiet zone around."""
    drawn = io.StringIO()
    _code(text).terminal(out=drawn, compact=True)
    return drawn.getvalue().rstrip("\n")


def _saved(text: str, kind: str) -> bytes:
    saved = io.BytesIO()
    _code(text).save(saved, kind=kind, scale=SCALE, light="white")
    return saved.getvalue()


@lru_cache(maxsize=4)  # one text is drawn in several ways, and is 6 ms of work
def _code(text: str) -> segno.QRCode:
    return segno.make_qr(text, error="m")
