"""Script channels: stored only as they were prepared, version by version, with their secrets."""

from typing import Any

import pytest
from gateway_world import World

from textgate.domain.account import Channel
from textgate.domain.errors import Conflict, Invalid, NotFound
from textgate.domain.script import ScriptVersion
from textgate.gateway import channels, scripts
from textgate.gateway.channels import MAX_VERSIONS, Changes, Draft, Prepared
from textgate.gateway.scripts import MAX_LINES, MAX_SECRET, MAX_SECRETS
from textgate.providers.discovery import find

TYPES = "https://deno.land/x/authgear_deno_hook@v1.5.0/mod.ts"


def prepared(source: str, code: str = "") -> Prepared:
    """What ``prepare`` returns for a source, with a module of this code."""
    module = {"code": code, "media_type": "application/typescript", "sha256": f"of {code}"}
    return Prepared({"source": source}, {"modules": {TYPES: module}})


async def add(world: World, source: str = "one", name: str = "script") -> Channel:
    draft = Draft(provider="script", name=name, settings={"source": source})
    return await world.write(
        lambda tx: channels.add(tx, world.account, draft, world.guard, prepared(source))
    )


async def save(
    world: World, channel: Channel, settings: dict[str, Any], ready: Prepared | None
) -> Channel:
    changes = Changes(settings=settings)
    return await world.write(
        lambda tx: channels.change(tx, world.account, channel.id, changes, world.guard, ready)
    )


async def source(world: World, channel: Channel, text: str) -> Channel:
    return await save(world, channel, {"source": text}, prepared(text, f"for {text}"))


async def versions(world: World, channel: Channel) -> list[ScriptVersion]:
    return await world.write(lambda tx: tx.scripts.before(world.account, channel.id, None, 1000))


async def restore(world: World, channel: Channel, n: int) -> ScriptVersion:
    return await world.write(lambda tx: scripts.restore(tx, world.account, channel.id, n))


async def stored(world: World, channel: Channel) -> Channel:
    return await world.write(lambda tx: channels.known_channel(tx, world.account, channel.id))


async def logged(world: World) -> list[str]:
    found = await world.write(lambda tx: tx.logs.between(world.account, 0, 1 << 60, 1000))
    return [entry.message for entry in found]


# Prepared, then stored.


async def test_a_script_is_stored_with_its_modules_as_the_first_version(world: World) -> None:
    channel = await add(world, "one")
    assert set(channel.settings["modules"]) == {TYPES}
    [version] = await versions(world, channel)
    assert (version.n, version.source, list(version.modules)) == (1, "one", [TYPES])
    settings = find("script").parse(channel.settings)
    assert settings.modules == version.modules


async def test_a_script_that_was_not_prepared_is_not_stored(world: World) -> None:
    draft = Draft(provider="script", name="script", settings={"source": "one"})
    for ready in (None, prepared("two")):
        with pytest.raises(Conflict):
            await world.write(
                lambda tx, ready=ready: channels.add(tx, world.account, draft, world.guard, ready)
            )
    assert await world.write(lambda tx: tx.channels.all(world.account)) == ()


async def test_modules_and_secrets_are_not_taken_from_callers(world: World) -> None:
    channel = await add(world)
    for hidden in ({"modules": {}}, {"secrets": {"KEY": "x"}}):
        with pytest.raises(Invalid) as refused:
            await save(world, channel, hidden, None)
        assert refused.value.field == f"settings.{next(iter(hidden))}"


async def test_other_settings_change_without_a_new_version(world: World) -> None:
    channel = await add(world)
    changed = await save(world, channel, {"timeout": 5}, None)
    assert changed.settings == channel.settings | {"timeout": 5}
    again = await save(world, channel, {"source": "one"}, None)
    assert again.settings == changed.settings
    assert len(await versions(world, channel)) == 1


async def test_a_script_is_refused_that_somebody_else_replaced_meanwhile(world: World) -> None:
    channel = await add(world, "one")
    await source(world, channel, "theirs")
    with pytest.raises(Conflict, match="somebody else"):
        await save(world, channel, {"source": "one"}, None)  # nothing new when it was prepared
    assert (await stored(world, channel)).settings["source"] == "theirs"


async def test_the_source_cannot_be_emptied(world: World) -> None:
    channel = await add(world)
    for nothing in ("", None):
        with pytest.raises((Invalid, Conflict)):
            await save(world, channel, {"source": nothing}, None)


# Versions.


async def test_each_new_source_is_a_version_and_the_last_hundred_are_kept(world: World) -> None:
    channel = await add(world, "source 1")
    for n in range(2, MAX_VERSIONS + 3):
        await source(world, channel, f"source {n}")
    kept = await versions(world, channel)
    assert [version.n for version in kept] == list(range(MAX_VERSIONS + 2, 2, -1))
    assert kept[-1].source == "source 3"


async def test_a_version_is_restored_with_the_modules_it_had_as_a_new_one(world: World) -> None:
    channel = await add(world, "one")
    await source(world, channel, "two")
    made = await restore(world, channel, 1)
    assert (made.n, made.source) == (3, "one")
    settings = (await stored(world, channel)).settings
    assert (settings["source"], settings["modules"][TYPES]["sha256"]) == ("one", "of ")
    assert [version.n for version in await versions(world, channel)] == [3, 2, 1]
    assert "Script version 1 restored" in await logged(world)


async def test_what_runs_already_is_not_restored(world: World) -> None:
    channel = await add(world)
    with pytest.raises(Conflict):
        await restore(world, channel, 1)
    assert len(await versions(world, channel)) == 1


async def test_a_version_nobody_knows_is_not_found(world: World) -> None:
    channel = await add(world)
    for n in (0, 2):
        with pytest.raises(NotFound):
            await restore(world, channel, n)


async def test_versions_go_with_their_channel(world: World) -> None:
    channel, other = await add(world), await add(world, name="other")
    await world.write(lambda tx: channels.remove(tx, world.account, channel.id))
    assert await versions(world, channel) == []
    assert len(await versions(world, other)) == 1


async def test_two_versions_are_compared_line_by_line(world: World) -> None:
    channel = await add(world, "a\nb\nc")
    await source(world, channel, "a\nB\nc")
    newer, older = await versions(world, channel)
    assert scripts.difference(older, newer).splitlines() == [
        *("--- version 1", "+++ version 2", "@@ -1,3 +1,3 @@", " a", "-b", "+B", " c")
    ]
    assert scripts.difference(None, older).splitlines()[:3] == [
        *("--- nothing", "+++ version 1", "@@ -0,0 +1,3 @@")
    ]
    assert scripts.difference(newer, newer) == ""


async def test_what_would_take_too_long_is_not_compared(world: World) -> None:
    channel = await add(world, "\n" * (MAX_LINES + 1))
    with pytest.raises(Invalid, match="lines"):
        scripts.difference(None, (await versions(world, channel))[0])


# Secrets.


async def set_secret(world: World, channel: Channel, name: str, value: str) -> None:
    await world.write(lambda tx: scripts.set_secret(tx, world.account, channel.id, name, value))


async def remove_secret(world: World, channel: Channel, name: str) -> None:
    await world.write(lambda tx: scripts.remove_secret(tx, world.account, channel.id, name))


async def test_secrets_are_kept_over_changes_and_never_shown_or_logged(world: World) -> None:
    channel = await add(world)
    await set_secret(world, channel, "API_KEY", "first value")
    await set_secret(world, channel, "_b", "second value")
    await source(world, channel, "two")
    await set_secret(world, channel, "API_KEY", "third value")
    await remove_secret(world, channel, "_b")
    found = await stored(world, channel)
    settings = find("script").parse(found.settings)
    assert settings.secrets == {"API_KEY": "third value"}
    assert scripts.secret_names(found) == ["API_KEY"]
    told = repr((settings, find("script").masked(found.settings), await logged(world)))
    assert "value" not in told
    assert {"Secret API_KEY set", "Secret _b removed"} <= set(await logged(world))


async def test_a_restored_version_runs_with_the_secrets_of_today(world: World) -> None:
    channel = await add(world, "one")
    await source(world, channel, "two")
    await set_secret(world, channel, "KEY", "today")
    await restore(world, channel, 1)
    assert (await stored(world, channel)).settings["secrets"] == {"KEY": "today"}


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "Ä", "A" * 65, "A\n"])
async def test_a_name_that_no_program_could_use_is_refused(world: World, name: str) -> None:
    channel = await add(world)
    with pytest.raises(Invalid) as refused:
        await set_secret(world, channel, name, "value")
    assert refused.value.field == "name"


async def test_a_secret_has_its_limits(world: World) -> None:
    channel = await add(world)
    await set_secret(world, channel, "A" * 64, "ü" * (MAX_SECRET // 2))
    for value in ("", "ü" * (MAX_SECRET // 2) + "x"):
        with pytest.raises(Invalid) as refused:
            await set_secret(world, channel, "KEY", value)
        assert refused.value.field == "value"


async def test_a_script_has_a_hundred_secrets_and_no_more(world: World) -> None:
    channel = await add(world)
    for n in range(MAX_SECRETS):
        await set_secret(world, channel, f"KEY_{n}", "x")
    with pytest.raises(Invalid, match="100"):
        await set_secret(world, channel, "ONE_MORE", "x")
    await set_secret(world, channel, "KEY_7", "y")


async def test_a_secret_nobody_set_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await remove_secret(world, await add(world), "KEY")


async def test_a_channel_without_a_script_has_neither_versions_nor_secrets(world: World) -> None:
    plain = await world.channel()
    with pytest.raises(Invalid, match="no script"):
        await restore(world, plain, 1)
    with pytest.raises(Invalid, match="no script"):
        await set_secret(world, plain, "KEY", "x")


async def test_scripts_of_another_account_are_not_found(world: World) -> None:
    channel = await add(world)
    with pytest.raises(NotFound):
        await world.write(lambda tx: scripts.restore(tx, "other", channel.id, 1))
    with pytest.raises(NotFound):
        await world.write(lambda tx: scripts.set_secret(tx, "other", channel.id, "KEY", "x"))
