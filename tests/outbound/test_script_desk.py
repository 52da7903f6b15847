"""The desk: results remembered, checks shared and watched, and never too many at once."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from outbound_desk import END, desk, stopped_deno

from textgate.domain.errors import NotFound, RateLimited, Unavailable
from textgate.domain.script import Program
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.desk import AT_ONCE, KEPT_SECONDS, MAX_WAITING, Check, Desk, Stage

TYPES = 'import "https://deno.land/x/authgear_deno_hook@v1.5.0/mod.ts";'


async def until(true: Callable[[], bool]) -> None:
    """Wait for another process, for at most 10 s."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def ended(check: Check) -> Check:
    await until(lambda: check.stage is Stage.DONE)
    return check


async def test_a_script_that_was_checked_is_not_checked_again_when_it_is_saved(
    tmp_path: Path,
) -> None:
    deno = stopped_deno(tmp_path)
    async with desk(Deno(deno.path)) as at:
        check = await ended(at.begin("a", TYPES + END))
        program = await at.prepare(TYPES + END)
        assert program == check.program
        assert deno.count == 1
        await at.prepare(END)
        assert deno.count == 2


async def test_what_is_remembered_is_forgotten_after_minutes(tmp_path: Path) -> None:
    deno, now = stopped_deno(tmp_path), [0.0]
    async with desk(Deno(deno.path)) as borrowed:
        at = Desk(Deno(deno.path), borrowed._http, hosts=[], clock=lambda: now[0])
        check = await ended(at.begin("a", END))
        now[0] = KEPT_SECONDS - 1
        await at.prepare(END)
        assert at.check("a", check.id) is check
        assert deno.count == 1
        now[0] = KEPT_SECONDS
        await at.prepare(END)
        assert deno.count == 2
        with pytest.raises(NotFound):
            at.check("a", check.id)


async def test_who_asks_at_the_same_time_shares_one_check_and_may_leave(tmp_path: Path) -> None:
    deno = stopped_deno(tmp_path, held=True)
    async with desk(Deno(deno.path)) as at:
        first, second = (asyncio.ensure_future(at.prepare(END)) for _ in range(2))
        await until(lambda: deno.count == 1)
        first.cancel()
        await asyncio.wait([first])
        deno.may_end.touch()
        assert await second == Program(END)
        assert first.cancelled()
        assert deno.count == 1


async def test_a_check_tells_how_far_it_is_and_what_it_found(tmp_path: Path) -> None:
    deno = stopped_deno(tmp_path, held=True)
    async with desk(Deno(deno.path)) as at:
        check = at.begin("a", END)
        assert (check.stage, check.findings, check.program) == (Stage.READING, (), None)
        await until(lambda: deno.count == 1)
        assert (check.stage, check.findings, check.program) == (Stage.CHECKING, (), None)
        assert at.check("a", check.id).elapsed_ms > 0
        deno.may_end.touch()
        await ended(check)
        assert (check.findings, check.problem, check.program) == ((), None, Program(END))
        final = check.elapsed_ms
        wrong = await ended(at.begin("a", 'import "npm:a";' + END))
        assert [one.line for one in wrong.findings] == [1]
        assert wrong.program is None
        assert check.elapsed_ms == final


async def test_a_check_that_could_not_be_made_says_why(tmp_path: Path) -> None:
    async with desk(Deno(stopped_deno(tmp_path, ends=1).path)) as at:
        check = await ended(at.begin("a", END))
    assert check.problem == "the script could not be checked: Deno did not say why"
    assert (check.findings, check.program) == ((), None)


async def test_a_check_is_seen_by_its_owner_alone(tmp_path: Path) -> None:
    async with desk(Deno(stopped_deno(tmp_path).path)) as at:
        check = at.begin("a", END)
        assert at.check("a", check.id) is check
        for owner, name in (("b", check.id), ("a", "another")):
            with pytest.raises(NotFound):
                at.check(owner, name)


async def test_only_a_few_run_at_once_and_only_some_wait(tmp_path: Path) -> None:
    deno = stopped_deno(tmp_path, held=True)
    async with desk(Deno(deno.path)) as at:
        for n in range(MAX_WAITING):
            at.begin(f"owner {n}", f"// {n}{END}")
        with pytest.raises(Unavailable, match="too many scripts are being checked"):
            at.begin("another", f"// another{END}")
        with pytest.raises(Unavailable, match="too many scripts are being checked"):
            await at.prepare(f"// another{END}")
        at.begin("another", f"// 0{END}")  # shares one
        await until(lambda: deno.count == AT_ONCE)
        assert deno.count == AT_ONCE


async def test_one_owner_cannot_take_all_the_room(tmp_path: Path) -> None:
    deno = stopped_deno(tmp_path, held=True)
    async with desk(Deno(deno.path)) as at:
        for n in range(4):
            at.begin("a", f"// {n}{END}")
        with pytest.raises(RateLimited, match="your other scripts are still being checked"):
            at.begin("a", f"// 5{END}")
        at.begin("b", END)


async def test_closing_ends_what_runs(tmp_path: Path) -> None:
    deno = stopped_deno(tmp_path, held=True)
    async with desk(Deno(deno.path)) as at:
        check = at.begin("a", END)
        saving = asyncio.ensure_future(at.prepare(END))
        await until(lambda: deno.count == 1)
        await at.close()
        assert check.problem == "the server is stopping"
        with pytest.raises(Unavailable, match="the server is stopping"):
            await saving
