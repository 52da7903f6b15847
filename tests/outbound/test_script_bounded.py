"""A program within limits: whatever it does, it has ended when the call returns."""

import asyncio
import sys
from pathlib import Path

import pytest

from textgate.outbound.script.bounded import Broken, Limits, Ran, run

ROOMY = Limits(seconds=30, memory_mb=1024, output=1 << 20)


async def running(code: str, limits: Limits = ROOMY, given: bytes = b"") -> Ran:
    return await run(
        [sys.executable, "-I", "-c", code],
        given,
        folder=Path("/"),
        environment={"ONLY": "this"},
        limits=limits,
    )


def is_alive(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_input_output_errors_environment_and_status_are_those_of_the_program() -> None:
    ran = await running(
        "import os, sys; print(len(sys.stdin.read()), os.environ['ONLY'], len(os.environ) < 4,"
        " os.getcwd(), flush=True); sys.exit('bad')",
        given=b"x" * 300_000,
    )
    assert ran == Ran(1, b"300000 this True /\nbad\n", None)


@pytest.mark.parametrize(
    ("code", "limits", "broken"),
    [
        ("while True: pass", Limits(seconds=0.5, memory_mb=1024, output=99), Broken.TIME),
        (
            "import os, time; os.close(1); os.close(2); time.sleep(60)",
            Limits(seconds=0.5, memory_mb=1024, output=99),
            Broken.TIME,
        ),
        (
            "import time; a = b'x' * (200 << 20); time.sleep(60)",
            Limits(seconds=30, memory_mb=100, output=99),
            Broken.MEMORY,
        ),
        ("while True: print('x')", Limits(seconds=30, memory_mb=1024, output=9999), Broken.OUTPUT),
    ],
)
async def test_a_program_that_breaks_a_limit_is_ended(
    code: str, limits: Limits, broken: Broken
) -> None:
    ran = await running(f"import os; print(os.getpid(), flush=True)\n{code}", limits)
    assert ran.broken is broken
    assert ran.status < 0
    assert len(ran.output) <= limits.output
    assert not is_alive(int(ran.output.split()[0]))


async def test_its_children_end_with_it(tmp_path: Path) -> None:
    child = f"[{sys.executable!r}, '-c', 'import time; time.sleep(60)']"
    ran = await running(
        f"import subprocess; print(subprocess.Popen({child}, stdout=subprocess.DEVNULL,"
        " stderr=subprocess.DEVNULL).pid)"
    )
    assert ran.status == 0
    async with asyncio.timeout(10):
        while is_alive(int(ran.output)):
            await asyncio.sleep(0.01)


async def test_a_call_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    call = asyncio.ensure_future(running(code))
    async with asyncio.timeout(10):
        while not (note.exists() and note.read_text()):
            await asyncio.sleep(0.01)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    assert not is_alive(int(note.read_text()))


async def test_a_program_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(OSError, match="No such file"):
        await run(["/absent"], b"", folder=Path("/"), environment={}, limits=ROOMY)
