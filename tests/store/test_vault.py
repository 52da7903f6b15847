"""Secrets are sealed in the file, and only with their key is there a store."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest
from store_rows import ACCOUNT, CHANNEL, INGRESS, SCRIPT, like

from textgate.domain.errors import Unavailable
from textgate.domain.ingress import IngressSecret
from textgate.store.base import Row, Tx
from textgate.store.migrate import migrations
from textgate.store.seals import STEP, renew_step
from textgate.store.sqlite import SqliteStore
from textgate.store.sqlite_file import asking, prepare, renew_seals
from textgate.store.vault import Vault, WrongKey
from textgate.testing.clock import FakeClock
from textgate.testing.vault import MASTER_KEY, VAULT

OLD, NEW = "the-old-master-key-of-this-installation", "the-new-master-key-of-this-installation"
SECRETS = ("a webhook secret", "the secret before", "of the channel", "of the ingress", "é\n\x00😀")
SECRET_SCRIPT = like(SCRIPT, account_id="acc", channel_id="lane-1", source="key of the script")
SECRET_ACCOUNT = like(ACCOUNT, webhook_secret=SECRETS[0], previous_secret=SECRETS[1])
SECRET_CHANNEL = like(CHANNEL, settings={"url": "u", "key": SECRETS[2], "odd": SECRETS[4]})
SECRET_INGRESS = like(INGRESS, secrets=(IngressSecret(id="s", secret=SECRETS[3], created_at=1),))
SEALED = """
    SELECT webhook_secret FROM account UNION ALL
    SELECT previous_secret FROM account WHERE previous_secret IS NOT NULL UNION ALL
    SELECT settings FROM channel UNION ALL SELECT secrets FROM ingress UNION ALL
    SELECT source FROM script_version"""


STARTING = 12
"""Processes that find no database at the same time; here, threads."""
FILES = 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "textgate.db"


def fill(tx: Tx) -> None:
    tx.accounts.add(SECRET_ACCOUNT)
    tx.channels.add(SECRET_CHANNEL)
    tx.ingresses.add(SECRET_INGRESS)
    tx.scripts.add(SECRET_SCRIPT)


def everything(tx: Tx) -> object:
    versions = tx.scripts.before("acc", "lane-1", None, 10)
    return tx.accounts.all(), tx.channels.all("acc"), tx.ingresses.all("acc"), versions


EVERYTHING = ([SECRET_ACCOUNT], (SECRET_CHANNEL,), (SECRET_INGRESS,), [SECRET_SCRIPT])


async def filled(path: Path, clock: FakeClock, vault: Vault) -> None:
    store = SqliteStore(path, clock, vault)
    await store.write(fill)
    await store.close()


async def found(path: Path, clock: FakeClock, vault: Vault) -> object:
    store = SqliteStore(path, clock, vault)
    try:
        return await store.read(everything)
    finally:
        await store.close()


def ask(path: Path, sql: str, *values: Any) -> list[Row]:
    other = apsw.Connection(str(path))
    try:
        return other.execute(sql, values).fetchall()
    finally:
        other.close()


def sealed_with(path: Path) -> set[str]:
    """What all the secrets of the file begin with, up to the key's name."""
    return {str(value)[: len(VAULT.prefix)] for (value,) in ask(path, SEALED)}


def bytes_of(path: Path) -> Iterator[bytes]:
    """Every file of the database: it, and what is not yet in it."""
    for file in path.parent.glob(f"{path.name}*"):
        yield file.read_bytes()


# --- sealing ---


@pytest.mark.parametrize("text", ["", "a", "sealed:", "é\n\x00😀", "x" * 200_000])
def test_what_is_sealed_is_opened_and_never_sealed_the_same_way_twice(text: str) -> None:
    one, two = VAULT.seal(text), VAULT.seal(text)
    assert VAULT.open(one) == VAULT.open(two) == text
    assert one != two
    assert Vault(MASTER_KEY).open(one) == text


@pytest.mark.parametrize("between", [" ", ",", " , ", "\n"])
def test_the_first_of_several_keys_seals_and_each_opens(between: str) -> None:
    old, new, both = Vault(OLD), Vault(NEW), Vault(f"{NEW}{between}{OLD}")
    assert both.open(old.seal("s")) == both.open(new.seal("s")) == "s"
    assert new.open(both.seal("s")) == "s"
    with pytest.raises(WrongKey):
        old.open(both.seal("s"))


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_what_was_changed_is_not_opened(at: float) -> None:
    sealed = VAULT.seal("a secret of this account")
    place = int(len(sealed) * at)
    other = "A" if sealed[place] != "A" else "B"
    with pytest.raises(WrongKey, match="damaged") as wrong:
        VAULT.open(sealed[:place] + other + sealed[place + 1 :])
    assert sealed[20:40] not in wrong.value.message


def test_what_an_older_version_wrote_is_read_as_it_is() -> None:
    assert VAULT.open('{"plain":1}') == '{"plain":1}'


def test_a_vault_says_nothing_of_its_keys() -> None:
    assert MASTER_KEY not in repr(VAULT)
    assert MASTER_KEY not in VAULT.seal("s")


# --- in the file ---


async def test_no_file_of_the_database_holds_a_secret(
    store: SqliteStore, path: Path, clock: FakeClock
) -> None:
    def change(tx: Tx) -> None:
        tx.accounts.rotate_secret("acc", "a rotated secret", 9_000)
        tx.channels.save(like(SECRET_CHANNEL, settings={"key": "a changed key"}))
        tx.ingresses.save(like(SECRET_INGRESS, name="changed"))

    await store.write(fill)
    await store.write(change)
    account, channel = await store.read(
        lambda tx: (tx.accounts.get("acc"), tx.channels.get("acc", "lane-1"))
    )
    assert account is not None
    assert account.secrets(0) == ("a rotated secret", SECRETS[0])
    assert channel is not None
    assert channel.settings == {"key": "a changed key"}
    secrets = (*SECRETS[:4], "key of the script", "a rotated secret", "a changed key")
    plain = [secret.encode() for secret in secrets]
    files = list(bytes_of(path))
    assert len(files) > 1, "there is a WAL too"
    assert any(b"LOGIN1" in content for content in files), "it is in these files that it is written"
    assert [one for one in plain for content in files if one in content] == []


async def test_nothing_is_opened_for_what_is_remembered(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def noting(vault: Vault, value: str, plain: Callable[[Vault, str], str] = Vault.open) -> str:
        opened.append(value)
        return plain(vault, value)

    monkeypatch.setattr(Vault, "open", noting)
    await store.write(fill)

    def look(tx: Tx) -> None:
        tx.accounts.get("acc")
        tx.channels.all("acc")

    await store.write(look)
    first = len(opened)
    for _ in range(5):
        await store.write(look)
    assert (first, len(opened)) == (3, 3)


async def test_a_secret_is_there_again_after_a_restart(path: Path, clock: FakeClock) -> None:
    await filled(path, clock, VAULT)
    assert await found(path, clock, Vault(MASTER_KEY)) == EVERYTHING


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    together = threading.Barrier(STARTING, timeout=60)

    def start(n: int) -> None:
        together.wait()
        prepare(tmp_path / f"{n // STARTING}.db", VAULT)

    with ThreadPoolExecutor(STARTING) as threads:
        list(threads.map(start, range(STARTING * FILES)))
    for n in range(FILES):
        [(proof,)] = ask(tmp_path / f"{n}.db", "SELECT proof FROM vault")
        assert len(proof.split()) == 1


# --- a wrong key ---


@pytest.mark.parametrize(
    "start", [renew_seals, lambda path, key: SqliteStore(path, FakeClock(), key)]
)
async def test_a_wrong_key_stops_the_start_and_says_what_to_do(
    path: Path, clock: FakeClock, start: Any
) -> None:
    await filled(path, clock, Vault(OLD))
    before = path.read_bytes()
    with pytest.raises(Unavailable) as wrong:
        start(path, Vault(NEW))
    assert str(path) in wrong.value.message
    assert "set master_key (TEXTGATE_MASTER_KEY)" in wrong.value.message
    assert "\n" not in wrong.value.message
    assert not any(secret in wrong.value.message for secret in (OLD, NEW, *SECRETS))
    assert path.read_bytes() == before
    assert await found(path, clock, Vault(OLD)) == EVERYTHING


async def test_a_damaged_proof_stops_the_start(path: Path, clock: FakeClock) -> None:
    await filled(path, clock, VAULT)
    ask(path, "UPDATE vault SET proof = ?", VAULT.seal("something else"))
    with pytest.raises(Unavailable, match="damaged"):
        SqliteStore(path, clock, VAULT)


# --- another key, and what an older version wrote ---


async def test_a_key_is_replaced_with_both_at_one_start(path: Path, clock: FakeClock) -> None:
    await filled(path, clock, Vault(OLD))
    renew_seals(path, Vault(f"{NEW} {OLD}"))
    assert sealed_with(path) == {Vault(NEW).prefix}
    assert await found(path, clock, Vault(NEW)) == EVERYTHING
    with pytest.raises(Unavailable):
        SqliteStore(path, clock, Vault(OLD))


async def test_until_secrets_are_sealed_anew_all_processes_seal_with_the_key_they_share(
    path: Path, clock: FakeClock
) -> None:
    server = SqliteStore(path, clock, Vault(OLD))
    await filled(path, clock, Vault(f"{NEW} {OLD}"))  # a command beside it knows the next key too
    assert await server.read(everything) == EVERYTHING
    await server.close()


async def test_sealing_anew_that_was_broken_off_goes_on_and_wants_both_keys_meanwhile(
    path: Path, clock: FakeClock
) -> None:
    store = SqliteStore(path, clock, Vault(OLD))
    await store.write(fill)
    many = [like(SECRET_CHANNEL, id=f"c{n}") for n in range(STEP + 5)]
    await store.write(lambda tx: [tx.channels.add(one) for one in many])
    await store.close()
    both = Vault(f"{NEW} {OLD}")
    connection = apsw.Connection(str(path))
    for _ in range(3):  # the proof, the account, and not all of the channels
        assert renew_step(asking(connection), both)
    connection.close()
    assert sealed_with(path) == {Vault(OLD).prefix, Vault(NEW).prefix}
    for one in (OLD, NEW):
        with pytest.raises(Unavailable):
            SqliteStore(path, clock, Vault(one))
    renew_seals(path, both)
    assert sealed_with(path) == {Vault(NEW).prefix}
    store = SqliteStore(path, clock, Vault(NEW))
    channels = await store.read(lambda tx: tx.channels.all("acc"))
    assert [one.settings for one in channels] == [SECRET_CHANNEL.settings] * (STEP + 6)
    await store.close()


def first_version(path: Path) -> None:
    """Write a database as the version before the vault did: secrets as they are."""
    before = apsw.Connection(str(path))
    before.execute("PRAGMA journal_mode = WAL")
    [(number, sql), *_] = migrations()
    before.execute(sql.replace("{clustered}", "WITHOUT ROWID"))
    before.execute(f"PRAGMA user_version = {number}")
    before.execute(
        "INSERT INTO account VALUES ('acc', 'LOGIN1', 'hash', 1, '{}', ?, ?, 0)", SECRETS[:2]
    )
    before.execute(
        "INSERT INTO account VALUES ('other', 'LOGIN2', 'hash', 2, '{}', 'a third secret', NULL, 0)"
    )
    settings = '{"url":"u","key":"of the channel","long":"' + "long secret " * 2_000 + '"}'
    before.execute(
        "INSERT INTO channel VALUES ('acc', 'lane-1', 'sim', 'simulator', ?, 1, 0, 1,"
        " NULL, NULL, 1, 1)",
        (settings,),
    )
    before.close()


async def test_what_an_older_version_wrote_is_sealed_at_the_next_start(
    path: Path, clock: FakeClock
) -> None:
    first_version(path)
    plain = (*SECRETS[:3], "a third secret", "long secret")
    assert all(any(one.encode() in content for content in bytes_of(path)) for one in plain)
    renew_seals(path, VAULT)
    assert sealed_with(path) == {VAULT.prefix}
    assert [one for one in plain for file in bytes_of(path) if one.encode() in file] == []
    store = SqliteStore(path, clock, VAULT)
    accounts, channels, _ = await store.read(
        lambda tx: (tx.accounts.all(), tx.channels.all("acc"), None)
    )
    assert [one.secrets(0) for one in accounts] == [(SECRETS[0],), ("a third secret",)]
    assert [one.previous_secret for one in accounts] == [SECRETS[1], None]
    assert channels[0].settings["key"] == SECRETS[2]
    await store.close()


async def test_a_command_beside_an_older_database_reads_it_as_it_is(
    path: Path, clock: FakeClock
) -> None:
    first_version(path)
    store = SqliteStore(path, clock, VAULT)
    account = await store.read(lambda tx: tx.accounts.get("acc"))
    await store.close()
    assert account is not None
    assert account.webhook_secret == SECRETS[0]


async def test_a_start_without_anything_to_seal_writes_nothing(
    path: Path, clock: FakeClock
) -> None:
    await filled(path, clock, VAULT)
    before = path.read_bytes()
    renew_seals(path, VAULT)
    assert path.read_bytes() == before
