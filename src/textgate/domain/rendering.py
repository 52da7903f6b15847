"""The language of message templates: a small part of Jinja's, so that none is slow or grows.

``{{ name }}`` with a few filters, ``{% if %}`` with comparisons, comments, trimming. All else that
Jinja knows (loops, calls, members, arithmetic, …) is refused when a text is read, by its tree; what
is left is rendered in Jinja's sandbox. Nothing is escaped: an SMS is plain text.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from textgate.domain.errors import Invalid
from textgate.domain.go_template import go_instead

MAX_TEMPLATE = 4096
MAX_RENDERED = 65_535
MAX_VARIABLES = 50
MAX_VALUE = 2000
"""All in characters."""
MAX_DEPTH = 20
MAX_NODES = 600
"""Of the tree: some 200 variables or conditions. Of the texts that were tried and let
through, the slowest took 26 ms of CPU when it was first read."""
MAX_FILTERS = 3
"""After one another: each may make a value longer."""
LARGEST_NUMBER = 1e15

Value = str | int | float | bool
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text, and the variables that it needed and did not get (their places are left as is)."""

    text: str
    missing: tuple[str, ...]


class _Missing:
    """A variable without a value: empty in a condition; where text needs it, that is noted."""

    def __init__(self, name: str, noted: dict[str, None]) -> None:
        self._name, self._noted = name, noted

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Missing) or other is None or other is False or other == ""

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        self._noted[self._name] = None
        return f"{{{{ {self._name} }}}}"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _default(value: object, instead: object = "") -> object:
    return instead if isinstance(value, _Missing) or value == "" else value


_FILTERS = {
    "upper": lambda value: _written(value).upper(),
    "lower": lambda value: _written(value).lower(),
    "trim": lambda value: _written(value).strip(),
    "default": _default,
    "urlencode": lambda value: quote(_written(value), safe=""),
}
_COMPARISONS = {"eq", "ne", "lt", "lteq", "gt", "gteq"}


def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        autoescape=False, keep_trailing_newline=True, finalize=_written, cache_size=0
    )
    made.filters = dict(_FILTERS)
    return made


_jinja = _environment()


class Program:
    """A text that has been read and found harmless."""

    __slots__ = ("_template", "variables")

    def __init__(self, template: jinja2.Template, variables: tuple[str, ...]) -> None:
        self._template = template
        self.variables = variables
        """The names it uses, in the order of their first use."""

    def render(self, given: Mapping[str, Value]) -> Rendered:
        """Return the text. Raises ``Invalid`` if it gets too long or compares unlike values."""
        noted: dict[str, None] = {}
        values = {
            name: given[name] if name in given else _Missing(name, noted) for name in self.variables
        }
        pieces, length = [], 0
        try:
            for piece in self._template.root_render_func(self._template.new_context(values)):
                pieces.append(piece)
                length += len(piece)
                if length > MAX_RENDERED:
                    raise Invalid(
                        f"the text gets longer than {MAX_RENDERED} characters", field="variables"
                    )
        except TypeError:
            raise Invalid(
                "the template compares a number with what is none", field="variables"
            ) from None
        return Rendered("".join(pieces), tuple(noted))


@lru_cache(maxsize=512)
def read_template(text: str) -> Program:
    """Return what can be rendered. Raises ``Invalid``, with the line in its details."""
    if not 1 <= len(text) <= MAX_TEMPLATE:
        raise Invalid(f"a template has from 1 to {MAX_TEMPLATE} characters", field="text")
    if found := go_instead(text):
        raise _refusal(*found)
    try:
        tree = _jinja.parse(text)
        names = dict.fromkeys(_names(tree, 0))
        if sum(1 for _ in tree.find_all(nodes.Node)) > MAX_NODES:
            raise _refusal(1, "it has too many variables and conditions")
        template = jinja2.Template.from_code(_jinja, _jinja.compile(tree), {})
    except jinja2.TemplateSyntaxError as wrong:
        raise _refusal(wrong.lineno, wrong.message or "this cannot be read") from None
    except RecursionError:
        raise _refusal(1, "this is nested too deeply") from None
    return Program(template, tuple(names))


def check_variables(given: Mapping[str, Value]) -> None:
    """Raise ``Invalid`` unless these can be variables of a template."""
    if len(given) > MAX_VARIABLES:
        raise Invalid(f"there can be at most {MAX_VARIABLES} variables", field="variables")
    for name, value in given.items():
        if not _is_name(name):
            raise Invalid(
                "the name of a variable has up to 64 letters, digits and _, a letter first",
                field="variables",
            )
        if isinstance(value, str):
            if len(value) > MAX_VALUE:
                raise Invalid(f"it has more than {MAX_VALUE} characters", field=f"variables.{name}")
        elif not (math.isfinite(value) and abs(value) <= LARGEST_NUMBER):
            raise Invalid("a number this large must be given as text", field=f"variables.{name}")


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name != "self"  # Jinja's own


def _refusal(line: int | None, why: str) -> Invalid:
    line = line or 1  # Jinja knows no line of some things that it makes up
    return Invalid(f"line {line}: {why}", field="text", details={"line": line})


_REFUSED: Sequence[tuple[tuple[type[nodes.Node], ...], str]] = (
    ((nodes.For,), "a loop"),
    ((nodes.Call, nodes.CallBlock, nodes.Macro), "a macro or a call"),
    ((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends), "another template"),
    ((nodes.Block,), "a block"),
    ((nodes.Getattr, nodes.Getitem), "a member of a variable (variables are plain values)"),
    ((nodes.Assign, nodes.AssignBlock, nodes.With), "setting a variable"),
    ((nodes.BinExpr, nodes.UnaryExpr, nodes.Concat), "arithmetic"),
    ((nodes.Test,), "a test with `is` (write {% if name %}, or compare with ==)"),
    ((nodes.CondExpr,), "an if within {{ }} (write {% if %}…{% endif %})"),
    ((nodes.List, nodes.Tuple, nodes.Dict), "a list"),
    ((nodes.FilterBlock,), "a filter over a block"),
)
"""Read from the top: Jinja's ``and`` and ``or`` are kinds of ``BinExpr``, and allowed before."""
_ALLOWED = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.And, nodes.Or)
_OFFERED = "templates have {{ name }}, {% if %}, comparisons and the filters " + ", ".join(_FILTERS)


def _names(node: nodes.Node, depth: int) -> Iterator[str]:
    """Yield the variables of a tree. Raises ``Invalid`` for whatever is not allowed in it."""
    if depth > MAX_DEPTH:
        raise _refusal(node.lineno, "this is nested too deeply")
    match node:
        case nodes.Name(name=name):
            if not _is_name(name):
                raise _refusal(node.lineno, f"{name[:64]} cannot be the name of a variable")
            yield name
        case nodes.Const(value=value):
            _check_constant(node.lineno, value)
        case nodes.Filter():
            _check_filter(node)
        case nodes.Compare(ops=operands):
            if any(operand.op not in _COMPARISONS for operand in operands):
                raise _refusal(node.lineno, f"`in` cannot be used: {_OFFERED}")
        case nodes.Operand() | nodes.Not():
            pass
        case _ if not isinstance(node, _ALLOWED):
            kinds = (what for types, what in _REFUSED if isinstance(node, types))
            what = next(kinds, "this")
            raise _refusal(node.lineno, f"{what} cannot be used: {_OFFERED}")
    for child in node.iter_child_nodes():
        yield from _names(child, depth + (not isinstance(child, nodes.TemplateData)))


def _check_constant(line: int, value: Any) -> None:
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _refusal(line, "a text holds half a character") from None


def _check_filter(node: nodes.Filter) -> None:
    if node.name not in _FILTERS:
        raise _refusal(node.lineno, f"there is no filter {node.name[:64]}: {_OFFERED}")
    plain = not (node.kwargs or node.dyn_args or node.dyn_kwargs)
    if node.node is None or not plain or len(node.args) > (node.name == "default"):
        raise _refusal(node.lineno, f"the filter {node.name} is not used like this")
    inner: nodes.Node | None = node
    count = 0
    while isinstance(inner, nodes.Filter):
        inner, count = inner.node, count + 1
    if count > MAX_FILTERS:
        raise _refusal(node.lineno, f"at most {MAX_FILTERS} filters can follow one another")
