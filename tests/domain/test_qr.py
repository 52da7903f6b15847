"""The three pictures show one code, and the one that the library makes of the text."""

import struct
import zlib

import segno

from textgate.domain import qr

TEXT = "https://sms.example.com/api/mobile/v1#code=k7mq2x"
QUIET = 4
"""Modules of light around, as the standard has it."""


def dark() -> list[list[bool]]:
    code = segno.make_qr(TEXT, error="m")
    return [[bool(module) for module in row] for row in code.matrix_iter(border=QUIET)]


def test_blocks_are_two_rows_a_line_light_on_dark() -> None:
    halves = {"█": (False, False), " ": (True, True), "▄": (True, False), "▀": (False, True)}
    rows: list[list[bool]] = []
    for line in qr.blocks(TEXT).splitlines():
        rows += map(list, zip(*(halves[block] for block in line), strict=True))
    assert rows[: len(dark())] == dark()


def test_a_png_has_the_same_squares() -> None:
    picture = qr.png(TEXT)
    width, height, depth = struct.unpack(">IIB", picture[16:25])
    side = len(dark())
    assert (width, height, depth) == (side * qr.SCALE, side * qr.SCALE, 1)
    start = picture.index(b"IDAT")
    (size,) = struct.unpack(">I", picture[start - 4 : start])
    lines = zlib.decompress(picture[start + 4 : start + 4 + size])
    stride = 1 + width // 8
    shown = []
    for top in range(0, len(lines), stride * qr.SCALE):
        kind, *octets = lines[top : top + stride]
        assert kind == 0  # the first line of a row of squares is there as it is
        shown.append([not octet for octet in octets])  # a square is an octet wide: 8 pixels
    assert shown == dark()


def test_an_svg_is_a_document_of_its_own_on_white() -> None:
    drawn = qr.svg(TEXT)
    side = len(dark())
    assert drawn.startswith("<?xml")
    assert f'width="{side * qr.SCALE}" height="{side * qr.SCALE}"' in drawn
    assert '<path fill="#fff"' in drawn
