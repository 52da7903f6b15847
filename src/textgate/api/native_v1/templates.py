"""/v1/templates: what messages say, by name and language."""

from typing import Annotated

import msgspec

from textgate.api.fields import DateTime
from textgate.api.native_v1.paging import Page, Paging, part_of
from textgate.api.native_v1.shapes import when
from textgate.api.operation import Answer, Call, Operation
from textgate.domain.account import Scope
from textgate.domain.errors import Invalid, NotFound
from textgate.domain.language import preferred_tags
from textgate.domain.rendering import Rendered, Value, check_variables, read_template
from textgate.domain.segment import Encoding, segments
from textgate.gateway import templates
from textgate.gateway.templates import Order, Text

Languages = Annotated[
    str | list[str],
    msgspec.Meta(description="A language tag such as de-CH, or up to 10, the best first."),
]
Variables = Annotated[
    dict[str, Value],
    msgspec.Meta(description="Up to 50 by name: texts of up to 2000 characters, numbers, truths."),
]


class TemplateText(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a template is to say in one language."""

    text: Annotated[str, msgspec.Meta(description="Up to 4096 characters; see the guide.")]


class NewPreview(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A template by its name, or one that is just being written."""

    template: str | None = None
    text: str | None = None
    language: Languages | None = None
    variables: Variables = {}


class LanguageShape(msgspec.Struct):
    """A language that a template has a text in."""

    language: str
    own: bool
    """Written by the account; else it ships with Textgate."""


class TemplateShape(msgspec.Struct):
    """A template, and the languages it can be sent in."""

    name: str
    languages: list[LanguageShape]


class TextShape(msgspec.Struct):
    """What a template says in one language."""

    name: str
    language: str
    text: str
    own: bool
    variables: list[str]
    """The names that it uses."""
    created_at: DateTime | None
    """Null, as the next, for what ships with Textgate."""
    updated_at: DateTime | None


class PreviewShape(msgspec.Struct):
    """What would be sent."""

    text: str
    """With the places of missing variables left as they are."""
    language_tag: str | None
    """The language that was chosen; null for a text that belongs to no template yet."""
    variables: list[str]
    missing: list[str]
    """The variables without which it cannot be sent."""
    encoding: Encoding
    length: int
    """Of all of it: septets (GSM-7) or 16-bit units (UCS-2)."""
    parts: int
    """SMS that are billed for each recipient."""


def _template_shape(name: str, texts: tuple[Text, ...]) -> TemplateShape:
    return TemplateShape(name, [LanguageShape(text.language, text.own) for text in texts])


def _text_shape(text: Text) -> TextShape:
    return TextShape(
        name=text.name,
        language=text.language,
        text=text.text,
        own=text.own,
        variables=list(text.variables),
        created_at=when(text.created_at),
        updated_at=when(text.updated_at),
    )


async def _list(call: Call[Paging, None]) -> Answer:
    account_id = call.account.id
    found = await call.services.store.read(lambda tx: templates.all_texts(tx, account_id))
    page, following = part_of(list(found), call.query, tuple[str], lambda name: (name,))
    return Answer(200, Page([_template_shape(name, found[name]) for name in page], following))


async def _get(call: Call[None, None]) -> Answer:
    account_id, name = call.account.id, call.path["name"]
    found = await call.services.store.read(lambda tx: templates.texts_of(tx, account_id, name))
    if not found:
        raise NotFound("template not found")
    return Answer(200, _template_shape(name, found))


async def _get_text(call: Call[None, None]) -> Answer:
    account_id, (name, language) = call.account.id, _place(call)
    found = await call.services.store.read(
        lambda tx: templates.known_text(tx, account_id, name, language)
    )
    return Answer(200, _text_shape(found))


async def _save(call: Call[None, TemplateText]) -> Answer:
    account_id, (name, language) = call.account.id, _place(call)
    text = call.body.text
    saved = await call.services.store.write(
        lambda tx: templates.save(tx, account_id, name, language, text)
    )
    return Answer(200, _text_shape(saved))


async def _remove(call: Call[None, None]) -> Answer:
    account_id, (name, language) = call.account.id, _place(call)
    await call.services.store.write(lambda tx: templates.remove(tx, account_id, name, language))
    return Answer(204)


def _place(call: Call[None, TemplateText] | Call[None, None]) -> tuple[str, str]:
    return call.path["name"], call.path["language"]


async def _preview(call: Call[None, NewPreview]) -> Answer:
    body, account_id = call.body, call.account.id
    if body.text is not None and body.template is None and body.language is None:
        check_variables(body.variables)
        program = read_template(body.text)
        return Answer(200, _preview_shape(program.render(body.variables), program.variables, None))
    if body.template is None or body.text is not None:
        raise Invalid("give template, and languages if you like; or text", field="template")
    order = Order(body.template, preferred_tags(body.language), body.variables)
    fallback = call.services.settings.template_language
    filled = await call.services.store.read(
        lambda tx: templates.fill(tx, account_id, order, fallback=fallback)
    )
    source = filled.source
    return Answer(200, _preview_shape(filled.rendered, source.variables, source.language))


def _preview_shape(
    rendered: Rendered, variables: tuple[str, ...], language: str | None
) -> PreviewShape:
    counted = segments(rendered.text)
    return PreviewShape(
        text=rendered.text,
        language_tag=language,
        variables=list(variables),
        missing=list(rendered.missing),
        encoding=counted.encoding,
        length=counted.units,
        parts=counted.parts,
    )


_TAG = "templates"
_TEXT = "/templates/{name}/{language}"
OPERATIONS = (
    Operation(
        "GET",
        "/templates",
        "List templates by name",
        _TAG,
        Scope.TEMPLATES_READ,
        _list,
        query=Paging,
        answer=Page[TemplateShape],
        errors={400: "The cursor or the limit is wrong."},
    ),
    Operation(
        "GET",
        "/templates/{name}",
        "Get a template's languages",
        _TAG,
        Scope.TEMPLATES_READ,
        _get,
        answer=TemplateShape,
        errors={404: "No such template."},
    ),
    Operation(
        "GET",
        _TEXT,
        "Get the text of a template in one language",
        _TAG,
        Scope.TEMPLATES_READ,
        _get_text,
        answer=TextShape,
        errors={400: "This is no language tag.", 404: "No such template, or not in it."},
    ),
    Operation(
        "PUT",
        _TEXT,
        "Write the text of a template in one language",
        _TAG,
        Scope.TEMPLATES_WRITE,
        _save,
        body=TemplateText,
        answer=TextShape,
        errors={400: "A rule is broken."},
        description="It wins over a text that ships with Textgate.",
    ),
    Operation(
        "DELETE",
        _TEXT,
        "Remove a text of your own",
        _TAG,
        Scope.TEMPLATES_WRITE,
        _remove,
        status=204,
        errors={400: "This is no language tag.", 404: "No text of your own there."},
        description="The text that ships with Textgate counts again, if there is one.",
    ),
    Operation(
        "POST",
        "/templates/preview",
        "Show what a template would say, and in how many parts",
        _TAG,
        Scope.TEMPLATES_READ,
        _preview,
        body=NewPreview,
        answer=PreviewShape,
        errors={400: "A rule is broken."},
    ),
)
