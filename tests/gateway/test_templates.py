"""Templates, own and shipped: which text counts, in which language, and what is sent of it."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from gateway_world import World

from textgate.domain.errors import Invalid, NotFound
from textgate.domain.language import canonical_tag
from textgate.domain.message import Submission
from textgate.domain.rendering import Value, read_template
from textgate.domain.segment import segments
from textgate.gateway import templates
from textgate.gateway.templates import Filled, Order, shipped, written

NAMES = {
    "verification_sms.txt",
    "setup_primary_oob_sms.txt",
    "setup_secondary_oob_sms.txt",
    "authenticate_primary_oob_sms.txt",
    "authenticate_secondary_oob_sms.txt",
    "forgot_password_oob_sms.txt",
    "forgot_password_sms.txt",
}
LANGUAGES = {"en", "de", "es", "fr", "ja", "zh-Hans", "zh-Hant", "pt", "id", "ar"}
LINK = "forgot_password_sms.txt"
GIVEN: Mapping[str, Value] = {
    "app_name": "Harbour Shop",
    "code": "731904",
    "link": "https://auth.harbour.example/reset?code=K7QH2M9T4XW0RZB6NDPAEJ1VG8FY3S5C",
}
SHIPPED = [(name, language) for name, texts in shipped().items() for language in texts]


async def save(world: World, name: str, language: str, text: str) -> templates.Text:
    return await world.write(lambda tx: templates.save(tx, world.account, name, language, text))


async def fill(
    world: World, name: str, *languages: str, fallback: str = "en", **given: Value
) -> Filled:
    order = Order(name, languages, given)
    return await world.write(lambda tx: templates.fill(tx, world.account, order, fallback=fallback))


async def texts(world: World, name: str) -> dict[str, bool]:
    """The languages of a template, and whether each is the account's own."""
    found = await world.write(lambda tx: templates.texts_of(tx, world.account, name))
    return {text.language: text.own for text in found}


async def logged(world: World) -> list[tuple[str, dict[str, Any]]]:
    found = await world.write(
        lambda tx: tx.logs.between(world.account, 0, world.clock.now() + 1, 9)
    )
    return [(entry.message, entry.context) for entry in found]


# --- what ships ---


def test_the_seven_names_ship_in_ten_languages() -> None:
    assert shipped().keys() == NAMES
    assert all(texts.keys() == LANGUAGES for texts in shipped().values())
    assert all(canonical_tag(language) == language for language in LANGUAGES)


@pytest.mark.parametrize(("name", "language"), SHIPPED)
def test_a_shipped_text_says_what_it_is_for_and_fits_into_few_parts(
    name: str, language: str
) -> None:
    program = read_template(shipped()[name][language])
    wanted = "link" if name == LINK else "code"
    assert set(program.variables) == {"app_name", wanted}
    rendered = program.render(GIVEN)
    text, missing = rendered.text, rendered.missing
    assert missing == ()
    assert text.count(str(GIVEN["app_name"])) == text.count(str(GIVEN[wanted])) == 1
    assert text.endswith("\n")
    assert "{" not in text
    lines = text.splitlines()
    assert len(lines) == 3
    assert (lines[1] == "") is (name != LINK)  # a warning after an empty line
    assert segments(text).parts <= 3


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_each_shipped_text_is_another_and_the_warning_is_the_same(language: str) -> None:
    lines = [shipped()[name][language].splitlines() for name in sorted(NAMES - {LINK})]
    assert len({sentence for sentence, *_ in lines}) == len(lines)
    assert len({warning for *_, warning in lines}) == 1


# --- which text counts ---


async def test_an_own_text_wins_until_it_is_removed(world: World) -> None:
    name = "verification_sms.txt"
    await save(world, name, "DE", "Code {{ code }}")
    filled = await fill(world, name, "de-CH", code="1")
    assert (filled.source.language, filled.source.own) == ("de", True)
    assert filled.rendered.text == "Code 1"
    assert (await fill(world, name, "fr")).source.own is False
    await world.write(lambda tx: templates.remove(tx, world.account, name, "de"))
    assert (await fill(world, name, "de")).source.own is False
    assert await logged(world) == [
        ("Template added", {"name": name, "language": "de"}),
        ("Template removed", {"name": name, "language": "de"}),
    ]


@pytest.mark.parametrize(
    ("own", "hidden"), [("en-US", "en"), ("zh-TW", "zh-Hant"), ("pt-BR", "pt")]
)
async def test_an_own_text_hides_the_shipped_one_that_means_the_same(
    world: World, own: str, hidden: str
) -> None:
    name = "verification_sms.txt"
    await save(world, name, own, "x")
    there = await texts(world, name)
    assert there[own] is True
    assert hidden not in there
    assert (await fill(world, name, hidden)).source.language == own


async def test_an_own_text_of_another_country_stands_beside_the_shipped_one(world: World) -> None:
    name = "verification_sms.txt"
    await save(world, name, "de-CH", "x")
    assert (await fill(world, name, "de")).source.language == "de"
    assert (await fill(world, name, "de-CH")).source.language == "de-CH"
    assert (await fill(world, name, "de-AT")).source.language == "de-CH"  # the earlier of two


async def test_another_name_has_only_the_texts_of_its_owner(world: World) -> None:
    await save(world, "parcel.ready", "fr", "prêt")
    await save(world, "parcel.ready", "it", "pronto")
    assert await texts(world, "parcel.ready") == {"fr": True, "it": True}
    assert (await fill(world, "parcel.ready", "it-CH")).source.language == "it"
    found = await world.write(lambda tx: templates.all_texts(tx, world.account))
    assert list(found) == sorted([*NAMES, "parcel.ready"])


@pytest.mark.parametrize(
    ("there", "fallback", "chosen"),
    [
        (("fr", "it"), "it", "it"),
        (("de", "it", "en"), "ja", "en"),  # no text in the fallback
        (("de", "it", "en-GB"), "ja", "en-GB"),
        (("it", "fr"), "ja", "fr"),  # nor in English: the first
        (("fr", "pt-PT"), "pt-BR", "pt-PT"),  # what serves who wants the fallback
    ],
)
async def test_when_no_preference_is_served_the_fallback_is(
    world: World, there: tuple[str, ...], fallback: str, chosen: str
) -> None:
    for language in there:
        await save(world, "own", language, "x")
    for wanted in ((), ("th",), ("th", "ko")):
        assert (await fill(world, "own", *wanted, fallback=fallback)).source.language == chosen


async def test_the_fallback_comes_first_among_equals(world: World) -> None:
    for language in ("en-AU", "en-GB"):
        await save(world, "own", language, "x")
    assert (await fill(world, "own", "en", fallback="en-GB")).source.language == "en-GB"
    assert (await fill(world, "own", "en", fallback="fr")).source.language == "en-AU"


async def test_changing_a_text_keeps_when_it_was_made(world: World) -> None:
    first = await save(world, "own", "de", "{{ a }}")
    world.clock.advance(5000)
    second = await save(world, "own", "de", "{{ b }}{{ a }}")
    assert second.created_at == first.created_at
    assert second.updated_at == (first.updated_at or 0) + 5000
    assert second.variables == ("b", "a")
    assert (await logged(world))[-1] == ("Template changed", {"name": "own", "language": "de"})


# --- what is refused ---


@pytest.mark.parametrize(
    ("name", "language", "text", "field"),
    [
        ("", "en", "x", "name"),
        ("a" * 65, "en", "x", "name"),
        ("a/b", "en", "x", "name"),
        ("line\n", "en", "x", "name"),
        ("own", "not a tag", "x", "language"),
        ("own", "en", "{{ a.b }}", "text"),
        ("own", "en", "", "text"),
    ],
)
async def test_what_breaks_a_rule_is_not_stored(
    world: World, name: str, language: str, text: str, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await save(world, name, language, text)
    assert refused.value.field == field
    assert await world.write(lambda tx: tx.templates.all(world.account)) == ()


async def test_an_account_has_a_bounded_number_of_texts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "MAX_TEXTS", 2)
    await save(world, "one", "en", "x")
    await save(world, "two", "en", "x")
    with pytest.raises(Invalid, match="at most 2 texts"):
        await save(world, "three", "en", "x")
    assert (await save(world, "two", "en", "y")).text == "y"


async def test_an_unknown_template_is_refused_with_those_that_there_are(world: World) -> None:
    await save(world, "own", "en", "x")
    with pytest.raises(Invalid) as refused:
        await fill(world, "verficiation_sms.txt")
    assert refused.value.field == "template"
    for name in (*NAMES, "own"):
        assert name in refused.value.message
    with pytest.raises(NotFound, match="it has en"):
        await world.write(lambda tx: templates.known_text(tx, world.account, "own", "de"))
    with pytest.raises(NotFound, match=r"there are .*own"):
        await world.write(lambda tx: templates.known_text(tx, world.account, "owm", "de"))


@pytest.mark.parametrize("language", ["fr", "en"])
async def test_only_an_own_text_can_be_removed(world: World, language: str) -> None:
    with pytest.raises(NotFound):
        await world.write(
            lambda tx: templates.remove(tx, world.account, "verification_sms.txt", language)
        )


# --- what is sent ---

WANTED = Submission(numbers=("+41790000001",))


async def test_the_context_is_what_authgear_would_send(world: World) -> None:
    await save(world, "own", "de", "{{ code }}{% if n > 1 %}!{% endif %}")
    order = Order("own", (), {"state": "", "n": 2, "has_password": True, "code": "1", "no": False})
    wanted = msgspec.structs.replace(
        WANTED, context={"app_id": "shop", "template_name": "mine", "more": [1]}
    )
    filled = await world.write(lambda tx: templates.fill(tx, world.account, order, fallback="en"))
    made = written(wanted, order, filled)
    assert made.text == "1!"
    assert made.context == {
        "app_id": "shop",
        "template_name": "own",
        "more": [1],
        "language_tag": "de",
        "template_variables": {"code": "1", "has_password": True, "n": "2"},
    }
    assert list(made.context["template_variables"]) == ["code", "has_password", "n"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ code }}", "template own (de) needs the variable code"),
        ("{{ link }}{{ code }}", "template own (de) needs the variables link, code"),
    ],
)
async def test_a_missing_variable_is_named(world: World, text: str, says: str) -> None:
    await save(world, "own", "de", text)
    filled = await fill(world, "own")
    with pytest.raises(Invalid) as refused:
        written(WANTED, Order("own", (), {}), filled)
    assert (refused.value.message, refused.value.field) == (says, "variables")
    assert refused.value.details == {"missing": list(filled.rendered.missing)}


async def test_variables_that_break_a_rule_are_refused(world: World) -> None:
    with pytest.raises(Invalid) as refused:
        await fill(world, "verification_sms.txt", code="x" * 2001)
    assert refused.value.field == "variables.code"


def test_a_repeat_is_judged_by_what_was_asked() -> None:
    def judged(wanted: Submission = WANTED, **changed: Any) -> str:
        order = Order("own", ("de",), {"a": "1", "b": "2"})
        return templates.fingerprint_of(wanted, msgspec.structs.replace(order, **changed))

    assert judged() == judged()
    assert judged(msgspec.structs.replace(WANTED, id="another")) == judged()
    assert judged(variables={"b": "2", "a": "1"}) == judged()  # the order says nothing
    others = [
        judged(template="other"),
        judged(languages=("en",)),
        judged(variables={"a": "1"}),
        judged(msgspec.structs.replace(WANTED, numbers=("+41790000002",))),
        judged(msgspec.structs.replace(WANTED, priority=1)),
    ]
    assert len({judged(), *others}) == len(others) + 1
