"""Message templates: an account's own and those that ship, in which language, with what in them.

An own text wins over the shipped one of the same name and language; ``en-US`` and ``en`` are the
same language here, because the one most likely stands for the other.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

import msgspec

from textgate.domain.errors import Invalid, NotFound
from textgate.domain.language import Confidence, canonical_tag, choose, confidence
from textgate.domain.message import Submission
from textgate.domain.rendering import Rendered, Value, check_variables, read_template
from textgate.domain.signing import fingerprint
from textgate.domain.template import Template, check_name
from textgate.domain.times import Milliseconds
from textgate.store.base import Tx

MAX_TEXTS = 200
"""Of its own, per account: each is looked through when a template is sent."""
LAST_RESORT = "en"

_encode = msgspec.json.Encoder(order="deterministic").encode


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """What a template says in one language."""

    name: str
    language: str
    text: str
    own: bool = False
    """Written by the account; else it ships with Textgate."""
    created_at: Milliseconds | None = None
    updated_at: Milliseconds | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        return read_template(self.text).variables


class Order(msgspec.Struct, frozen=True):
    """A template to be filled in."""

    template: str
    languages: tuple[str, ...]
    """Canonical tags, the most wanted first."""
    variables: Mapping[str, Value]


class Filled(msgspec.Struct, frozen=True):
    """A template in the language that was chosen, with the variables in their places."""

    source: Text
    rendered: Rendered


@cache
def shipped() -> Mapping[str, Mapping[str, str]]:
    """Return the texts that ship, by name and language."""
    text = resources.files("textgate.gateway").joinpath("templates.toml").read_text("utf-8")
    return tomllib.loads(text)


def all_texts(tx: Tx, account_id: str) -> Mapping[str, tuple[Text, ...]]:
    """Return by name, in order of the alphabet, what counts for the account: own texts first."""
    found: dict[str, list[Text]] = {name: [] for name in shipped()}
    for template in tx.templates.all(account_id):
        found.setdefault(template.name, []).append(_own(template))
    return {name: _with_shipped(name, found[name]) for name in sorted(found)}


def texts_of(tx: Tx, account_id: str, name: str) -> tuple[Text, ...]:
    """Return the texts of one template; none if there is no such template."""
    own = [_own(t) for t in tx.templates.all(account_id) if t.name == name]
    return _with_shipped(name, own)


def known_text(tx: Tx, account_id: str, name: str, language: str) -> Text:
    """Return the text in exactly this language. Raises ``NotFound``, ``Invalid`` for no tag."""
    tag, found = canonical_tag(language), texts_of(tx, account_id, name)
    for text in found:
        if text.language == tag:
            return text
    if not found:
        raise NotFound(_no_such(tx, account_id))
    there = ", ".join(text.language for text in found)
    raise NotFound(f"this template has no text in {tag}; it has {there}")


def save(tx: Tx, account_id: str, name: str, language: str, text: str) -> Text:
    """Store a text of the account's own, new or in place of the one before.

    Raises ``Invalid`` for what cannot be a name, a language or a template, or for too many.
    """
    check_name(name)
    tag = canonical_tag(language)
    read_template(text)
    everything = tx.templates.all(account_id)
    before = next((t for t in everything if (t.name, t.language) == (name, tag)), None)
    if before is None and len(everything) >= MAX_TEXTS:
        raise Invalid(f"an account has at most {MAX_TEXTS} texts of its own; remove one first")
    template = Template(
        account_id=account_id,
        name=name,
        language=tag,
        text=text,
        created_at=before.created_at if before else tx.now,
        updated_at=tx.now,
    )
    tx.templates.save(template)
    _log(tx, template, "Template changed" if before else "Template added")
    return _own(template)


def remove(tx: Tx, account_id: str, name: str, language: str) -> None:
    """Forget an own text; a shipped one counts again. Raises ``NotFound`` if there is none."""
    tag = canonical_tag(language)
    for template in tx.templates.all(account_id):
        if (template.name, template.language) == (name, tag):
            tx.templates.remove(account_id, name, tag)
            return _log(tx, template, "Template removed")
    raise NotFound("this account has no text of its own for this name and language")


def fill(tx: Tx, account_id: str, order: Order, *, fallback: str) -> Filled:
    """Choose the language and put the variables in.

    Without a language that serves, the text is the one in ``fallback``, else in English, else the
    first. Raises ``Invalid`` for an unknown name and for variables that break a rule; a missing
    variable is no error here.
    """
    check_variables(order.variables)
    found = {text.language: text for text in texts_of(tx, account_id, order.template)}
    if not found:
        raise Invalid(_no_such(tx, account_id), field="template")
    tags = list(found)
    last = choose((fallback,), tags) or choose((LAST_RESORT,), tags) or tags[0]
    chosen = choose(order.languages, [last, *tags]) or last
    return Filled(found[chosen], read_template(found[chosen].text).render(order.variables))


def written(wanted: Submission, order: Order, filled: Filled) -> Submission:
    """Return what is to be sent: the text, and a context from which Authgear's format is made.

    ``template_variables`` are as there: texts and booleans, by name, without those that are empty.
    Raises ``Invalid`` for a missing variable.
    """
    source, missing = filled.source, filled.rendered.missing
    if missing:
        names = f"variable {missing[0]}" if len(missing) == 1 else f"variables {', '.join(missing)}"
        raise Invalid(
            f"template {source.name} ({source.language}) needs the {names}",
            field="variables",
            details={"missing": list(missing)},
        )
    values = {
        name: value if isinstance(value, bool) else str(value)
        for name, value in sorted(order.variables.items())
        if value is not False and value != ""
    }
    context = {
        "template_name": source.name,
        "language_tag": source.language,
        "template_variables": values,
    }
    return msgspec.structs.replace(
        wanted, text=filled.rendered.text, context={**(wanted.context or {}), **context}
    )


def fingerprint_of(wanted: Submission, order: Order) -> str:
    """Return what a repeat of the same id is judged by: what was asked, not how it was put.

    So a repeat is known as one even if the template has been changed or removed since.
    """
    asked = msgspec.structs.replace(wanted, id=None)
    return fingerprint(_encode((asked, order)))


def _own(template: Template) -> Text:
    return Text(
        name=template.name,
        language=template.language,
        text=template.text,
        own=True,
        created_at=template.created_at,
        updated_at=template.updated_at,
    )


def _with_shipped(name: str, own: list[Text]) -> tuple[Text, ...]:
    others = (
        Text(name=name, language=language, text=text)
        for language, text in shipped().get(name, {}).items()
        if not any(confidence(language, mine.language) >= Confidence.EXACT for mine in own)
    )
    return (*own, *others)


def _no_such(tx: Tx, account_id: str) -> str:
    return f"there is no such template; there are {', '.join(all_texts(tx, account_id))}"


def _log(tx: Tx, template: Template, message: str) -> None:
    context: dict[str, object] = {"name": template.name, "language": template.language}
    tx.logs.add(template.account_id, "INFO", "templates", message, context)
