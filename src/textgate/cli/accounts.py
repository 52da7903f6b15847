"""``textgate account …``: works on the data folder itself, with or without a running server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from textgate.cli.exits import database_told
from textgate.cli.output import GOOD, Output
from textgate.config import Settings
from textgate.domain.errors import NotFound
from textgate.domain.times import rfc3339

if TYPE_CHECKING:
    from textgate.app import AccountBook, Credentials

T = TypeVar("T")


def add(settings: Settings, output: Output, login: str | None) -> None:
    """Add an account; Conflict if the login is taken."""
    _credentials(_with_accounts(settings, lambda accounts: accounts.add(login)), output)


def show(settings: Settings, output: Output) -> None:
    """List the accounts."""
    rows = _with_accounts(settings, lambda accounts: accounts.list())
    for row in rows:
        output.item({"login": row.login, "created_at": rfc3339(row.created_at)})
    output.table(("login", "created"), [(row.login, rfc3339(row.created_at)) for row in rows])


def change_password(settings: Settings, output: Output, login: str, password: str | None) -> None:
    """Set a password, made up if None; NotFound if there is no such account."""
    changed = _with_accounts(settings, lambda accounts: accounts.set_password(login, password))
    _credentials(changed, output)


def remove(
    settings: Settings, output: Output, login: str, *, make_sure: Callable[[], None]
) -> None:
    """Remove an account and everything that belongs to it; NotFound.

    ``make_sure`` is called once the account is found; it raises if it is to stay.
    """
    rows = _with_accounts(settings, lambda accounts: accounts.list())
    if login not in {row.login for row in rows}:
        raise NotFound(f"there is no account {login}", field="login")
    make_sure()
    _with_accounts(settings, lambda accounts: accounts.remove(login))
    output.say(f"removed {login}")


def _credentials(made: "Credentials", output: Output) -> None:
    output.item({"login": made.login, "password": made.password})
    output.say(f"login     {made.login}")
    output.say(f"password  {made.password}", GOOD)


def _with_accounts(settings: Settings, work: "Callable[[AccountBook], Awaitable[T]]") -> T:
    from textgate.app import open_accounts

    async def inside() -> T:
        async with open_accounts(settings) as accounts:
            return await work(accounts)

    with database_told(settings.database):
        return asyncio.run(inside())
