"""Which operation a path means.

Paths are read as the original server reads them (A §1.8): upper and lower case are the same, and
so are one slash and several, with or without one at the end. Each part is percent-decoded once,
after the path was taken apart, so an id may contain a slash. Starlette's router does none of this
(it matches on a path that is decoded already), hence these few lines.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")
MAX_PARTS = 12


class _Node(Generic[T]):
    """The paths that begin alike."""

    __slots__ = ("methods", "named", "next")

    def __init__(self) -> None:
        self.next: dict[str, _Node[T]] = {}
        self.named: _Node[T] | None = None
        self.methods: dict[str, tuple[T, tuple[str, ...]]] = {}


class Paths(Generic[T]):
    """A table of paths; a part in braces stands for any one part."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, path: str, target: T) -> None:
        """Add a path such as ``/messages/{id}``; ValueError if it is taken."""
        node, names = self._root, []
        for part in _parts(path):
            if part.startswith("{"):
                names.append(part[1:-1])
                node.named = node.named or _Node()
                node = node.named
            else:
                node = node.next.setdefault(part.lower(), _Node())
        if method in node.methods:
            raise ValueError(f"{method} {path} is there twice")
        node.methods[method] = target, tuple(names)

    def find(self, method: str, path: str) -> tuple[T, Mapping[str, str]] | frozenset[str]:
        """Return the target and its named parts, or the methods that this path does take."""
        parts = [unquote(part) for part in _parts(path)]
        allowed: set[str] = set()
        if len(parts) <= MAX_PARTS:
            for node, values in _walk(self._root, parts):
                found = node.methods.get(method)
                if found is not None:
                    target, names = found
                    return target, dict(zip(names, values, strict=True))
                allowed.update(node.methods)
        return frozenset(allowed)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _walk(node: _Node[T], parts: list[str]) -> list[tuple[_Node[T], list[str]]]:
    """Return the nodes that ``parts`` can mean, the most literal first."""
    if not parts:
        return [(node, [])]
    found = []
    literal = node.next.get(parts[0].lower())
    if literal is not None:
        found += _walk(literal, parts[1:])
    if node.named is not None:
        found += [(end, [parts[0], *more]) for end, more in _walk(node.named, parts[1:])]
    return found
