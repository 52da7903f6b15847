"""Finds the dialects: each file of this folder that defines one."""

import pkgutil
from functools import cache
from importlib import import_module

from textgate.domain.errors import Invalid
from textgate.ingress import __path__ as folder
from textgate.ingress.base import Dialect


@cache
def dialects() -> dict[str, Dialect]:
    """Return every dialect by its name, in the order of the names."""
    modules = [import_module(f"textgate.ingress.{m.name}") for m in pkgutil.iter_modules(folder)]
    found = [getattr(module, "DIALECT", None) for module in modules]
    return {dialect.name: dialect for dialect in found if isinstance(dialect, Dialect)}


def find_dialect(name: str) -> Dialect:
    """Return the dialect of this name. Raises ``Invalid``."""
    if name not in dialects():
        known = ", ".join(dialects())
        raise Invalid(f"there is no dialect {name}; there are {known}", field="dialect")
    return dialects()[name]
