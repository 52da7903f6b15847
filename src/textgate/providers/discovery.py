"""Finds the providers: each file of this folder, and packages that offer the entry point."""

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from textgate.domain.errors import Invalid
from textgate.providers import __path__ as folder
from textgate.providers.base import Provider

GROUP = "textgate.providers"


@cache
def discover() -> dict[str, Provider[Any]]:
    """Return every provider by its kind, in the order of the names."""
    found: dict[str, Provider[Any]] = {}
    for module in pkgutil.iter_modules(folder):
        provider = getattr(import_module(f"{GROUP}.{module.name}"), "PROVIDER", None)
        if isinstance(provider, Provider):
            found[provider.kind] = provider
    for point in entry_points(group=GROUP):
        provider = point.load()
        found[provider.kind] = provider
    return dict(sorted(found.items()))


def find(kind: str) -> Provider[Any]:
    """Return the provider of this kind. Raises ``Invalid``."""
    try:
        return discover()[kind]
    except KeyError:
        known = ", ".join(discover())
        raise Invalid(f"there is no provider {kind}; there are {known}", field="provider") from None
