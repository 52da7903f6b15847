"""Textgate: a self-hosted SMS gateway."""

from importlib.metadata import version

__version__ = version("textgate")
