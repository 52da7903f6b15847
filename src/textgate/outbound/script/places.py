"""Where a byte of a source is, as compilers and editors count it."""

import re
from bisect import bisect_right

_LINE_END = re.compile(rb"\r\n|[\n\r]|\xe2\x80[\xa8\xa9]")


class Places:
    """Of one source in UTF-8. Lines end as in ECMAScript §12.3; columns are UTF-16 units."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._starts = [0, *(end.end() for end in _LINE_END.finditer(source))]

    def of(self, offset: int) -> tuple[int, int]:
        """Return line and column, both from 1, of the byte at ``offset``."""
        line = bisect_right(self._starts, offset)
        before = self._source[self._starts[line - 1] : offset].decode("utf-8", "replace")
        return line, len(before.encode("utf-16-le")) // 2 + 1
