"""What the nouns of Authgear's gateway promise: ingresses, sms gateways, scripts, templates."""

from collections.abc import Callable

import pytest
from store_rows import CHANNEL, INGRESS, MODULE, SCRIPT, SMS_GATEWAY, TEMPLATE, like

from textgate.domain.ingress import IngressSecret, OnTimeout
from textgate.store.base import Tx
from textgate.store.ingresses import BY_KEY
from textgate.store.sqlite import SqliteStore

# --- ingresses ---


async def test_an_ingress_is_kept_changed_and_removed(store: SqliteStore) -> None:
    other = like(INGRESS, id="in-2", key="address-2")
    changed = like(
        INGRESS,
        key="address-3",
        previous_key="address-1",
        previous_key_until=9_000,
        name="new",
        enabled=False,
        secrets=(*INGRESS.secrets, IngressSecret(id="s2", secret="other", created_at=2, ends_at=3)),
        allow_unsigned=True,
        on_timeout=OnTimeout.TIMEOUT,
        channel_id="lane-1",
    )
    await store.write(lambda tx: [tx.ingresses.add(one) for one in (other, INGRESS)])
    assert await store.read(lambda tx: tx.ingresses.all("acc")) == (INGRESS, other)
    await store.write(lambda tx: tx.ingresses.save(changed))
    assert await store.read(lambda tx: tx.ingresses.get("acc", "in-1")) == changed
    assert await store.read(lambda tx: tx.ingresses.get("acc", "in-2")) == other
    removed = [
        await store.write(lambda tx, a=account: tx.ingresses.remove(a, "in-1"))  # type: ignore[misc]
        for account in ("stranger", "acc", "acc")
    ]
    assert removed == [False, True, False]
    assert await store.read(lambda tx: tx.ingresses.all("acc")) == (other,)


@pytest.mark.parametrize(
    ("key", "now", "found"),
    [
        ("address-1", 99_999, True),
        ("address-0", 8_999, True),
        ("address-0", 9_000, False),
        ("address-2", 0, False),
        ("", 0, False),
    ],
)
async def test_an_ingress_is_found_by_its_address_and_for_a_time_by_the_one_before(
    store: SqliteStore, key: str, now: int, found: bool
) -> None:
    rotated = like(INGRESS, previous_key="address-0", previous_key_until=9_000)
    never = like(INGRESS, id="in-2", key="address-9")
    await store.write(lambda tx: [tx.ingresses.add(one) for one in (rotated, never)])
    assert await store.read(lambda tx: tx.ingresses.by_key(key, now)) == (
        rotated if found else None
    )


async def test_looking_for_an_address_does_not_look_at_every_ingress(store: SqliteStore) -> None:
    values = {"key": "address-1", "now": 0}
    rows = await store.read(lambda tx: tx.all(f"EXPLAIN QUERY PLAN {BY_KEY}", values))
    plan = [row[-1] for row in rows]
    assert not any("SCAN" in line for line in plan), plan


async def test_who_remembers_ingresses_learns_of_each_change(store: SqliteStore) -> None:
    seen = {store.generation("ingress")}
    works: list[Callable[[Tx], object]] = [
        lambda tx: tx.ingresses.add(INGRESS),
        lambda tx: tx.ingresses.save(INGRESS),
        lambda tx: tx.ingresses.remove("acc", "in-1"),
    ]
    for work in works:
        await store.write(work)
        seen.add(store.generation("ingress"))
    assert len(seen) == 4


# --- the account's own gateway ---


async def test_an_account_has_one_sms_gateway(store: SqliteStore) -> None:
    changed = like(SMS_GATEWAY, enabled=False, provider="webhook", channels={}, updated_at=2)
    strangers = like(SMS_GATEWAY, account_id="stranger")
    assert await store.read(lambda tx: tx.sms_gateways.get("acc")) is None
    for gateway in (SMS_GATEWAY, strangers, changed):
        await store.write(lambda tx, g=gateway: tx.sms_gateways.save(g))  # type: ignore[misc]
    assert await store.read(lambda tx: tx.sms_gateways.get("acc")) == changed
    assert await store.read(lambda tx: tx.sms_gateways.get("stranger")) == strangers


# --- scripts ---


def versions(tx: Tx) -> None:
    for n in range(1, 6):
        tx.scripts.add(like(SCRIPT, n=n, source=f"// {n}"))
    tx.scripts.add(like(SCRIPT, channel_id="lane-2"))
    tx.scripts.add(like(SCRIPT, account_id="stranger", n=9))


async def test_a_version_of_a_script_is_read_as_it_was_saved(store: SqliteStore) -> None:
    await store.write(versions)
    found = await store.read(lambda tx: [tx.scripts.get("acc", "lane-1", n) for n in (0, 3, 9)])
    assert found == [None, like(SCRIPT, n=3, source="// 3"), None]
    assert found[1] is not None
    assert found[1].modules == {"https://example.com/mod.js": MODULE}


async def test_the_last_version_of_a_script_is_known(store: SqliteStore) -> None:
    assert await store.read(lambda tx: tx.scripts.last("acc", "lane-1")) is None
    await store.write(versions)
    last = await store.read(lambda tx: tx.scripts.last("acc", "lane-1"))
    assert last == like(SCRIPT, n=5, source="// 5")


async def test_versions_are_paged_newest_first_and_the_oldest_can_go(store: SqliteStore) -> None:
    await store.write(versions)
    pages = [
        await store.read(lambda tx, b=before: tx.scripts.before("acc", "lane-1", b, 2))  # type: ignore[misc]
        for before in (None, 4, 2, 1)
    ]
    assert [[found.n for found in page] for page in pages] == [[5, 4], [3, 2], [1], []]
    assert await store.write(lambda tx: tx.scripts.remove("acc", "lane-1", 3)) == 3
    left = await store.read(lambda tx: tx.scripts.before("acc", "lane-1", None, 9))
    assert [found.n for found in left] == [5, 4]


async def test_the_versions_of_a_script_go_with_its_channel(store: SqliteStore) -> None:
    await store.write(lambda tx: (tx.channels.add(CHANNEL), versions(tx)))
    assert await store.write(lambda tx: tx.channels.remove("acc", "lane-1"))
    left = await store.read(lambda tx: tx.all("SELECT account_id, channel_id FROM script_version"))
    assert sorted(left) == [("acc", "lane-2"), ("stranger", "lane-1")]


# --- templates ---


async def test_a_template_has_one_text_for_a_language(store: SqliteStore) -> None:
    french = like(TEMPLATE, language="fr", text="Votre code : {{ code }}")
    first = like(TEMPLATE, name="invitation")
    changed = like(TEMPLATE, text="Dein Code: {{ code }}", updated_at=2)
    strangers = like(TEMPLATE, account_id="stranger")

    async def found() -> tuple[object, ...]:
        return await store.write(lambda tx: tx.templates.all("acc"))

    await store.write(lambda tx: [tx.templates.save(t) for t in (french, TEMPLATE, strangers)])
    assert await found() == (TEMPLATE, french)
    await store.write(lambda tx: [tx.templates.save(t) for t in (changed, first)])
    assert await found() == (first, changed, french)
    removed = [
        await store.write(
            lambda tx, n=name: tx.templates.remove("acc", n, "de")  # type: ignore[misc]
        )
        for name in ("verification", "verification", "nothing")
    ]
    assert removed == [True, False, False]
    assert await found() == (first, french)
    assert await store.read(lambda tx: tx.templates.all("stranger")) == (strangers,)
