"""Where Deno is looked for, and what is said where there is none that runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from textgate.domain.errors import Unavailable
from textgate.outbound import script
from textgate.outbound.script.deno import Deno


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package, and nothing on the PATH."""
    monkeypatch.setitem(sys.modules, "deno", None)
    monkeypatch.setenv("PATH", "/nowhere")


def program(path: Path, text: str) -> Path:
    path.write_text("#!/bin/sh\n" + text, "utf-8")
    path.chmod(0o755)
    return path


async def test_the_deno_of_this_machine_tells_its_version() -> None:
    version = await Deno().version()
    assert [part.isdigit() for part in version.split(".")] == [True, True, True]


@pytest.mark.usefixtures("bare")
async def test_without_deno_one_is_told_what_to_install() -> None:
    wanted = r"Python package `deno`.*TEXTGATE_DENO"
    with pytest.raises(Unavailable, match=wanted):
        _ = Deno().path
    with pytest.raises(Unavailable, match=wanted):
        await Deno().version()


async def test_a_deno_is_asked_for_its_version_once_and_again_when_it_was_replaced(
    tmp_path: Path,
) -> None:
    asked = tmp_path / "asked"
    there = program(tmp_path / "deno", f"echo x >> {asked}; echo deno 2.9.8")
    deno = Deno(there)
    assert [await deno.program(), await deno.program()] == [there, there]
    assert asked.read_text() == "x\n"
    program(tmp_path / "newer", "echo deno 1.41.3").rename(there)
    with pytest.raises(Unavailable, match="too old"):
        await deno.program()


@pytest.mark.usefixtures("bare")
def test_a_deno_installed_later_is_found_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deno = Deno()
    with pytest.raises(Unavailable):
        _ = deno.path
    monkeypatch.setenv("PATH", str(tmp_path))
    there = program(tmp_path / "deno", "echo deno 2.9.8")
    assert deno.path == there


def test_the_deno_set_goes_before_all_others_and_is_not_replaced(tmp_path: Path) -> None:
    mine = program(tmp_path / "mine", "echo deno 2.9.8")
    assert Deno(mine).path == mine
    with pytest.raises(Unavailable, match="TEXTGATE_DENO"):
        _ = Deno(tmp_path / "absent").path


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("echo deno 2.8.9 '(stable)'", "Deno 2.8.9 is too old"),
        ("echo deno 1.41.3", "too old"),
        ("echo hello", "does not tell its version"),
        ("exit 1", "does not tell its version"),
        ("exec cat /dev/zero", "does not tell its version"),
    ],
)
async def test_a_deno_that_is_none_or_too_old_is_refused(
    tmp_path: Path, said: str, message: str
) -> None:
    with pytest.raises(Unavailable, match=message):
        await Deno(program(tmp_path / "deno", said)).version()


async def test_a_deno_that_this_machine_cannot_run_is_told_of(tmp_path: Path) -> None:
    alien = tmp_path / "deno"
    alien.write_bytes(b"\x7fELF" + bytes(60))
    alien.chmod(0o755)
    with pytest.raises(Unavailable, match="does not run on this machine"):
        await Deno(alien).version()


async def test_deno_is_started_in_an_empty_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENO_DIR", "/nowhere")
    counted = program(tmp_path / "deno", 'echo deno 2.9.8${DENO_DIR:+0.0}"."')
    assert await Deno(counted).version() == "2.9.8."


def test_the_runner_is_sound_typescript() -> None:
    """Checked as strictly as Deno does: nobody else reads its types."""
    runner = Path(script.__file__).parent / "runner"
    for command in (
        ["check", "--quiet", "--no-config", "--no-lock", "--no-remote", "--no-npm"],
        ["fmt", "--quiet", "--no-config", "--check", "--line-width", "100"],
    ):
        done = subprocess.run(
            [Deno().path, *command, *sorted(runner.glob("*.ts"))],
            env={"DENO_DIR": "/dev/null/deno", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
