"""``textgate demo``: the whole way in one go, in time, leaving nothing behind."""

import json

from textgate_command import Command

LIMIT_S = 10.0


def test_the_demo_shows_every_step_and_ends_well_in_time(textgate: Command) -> None:
    temporary = textgate.folder / "tmp"
    temporary.mkdir()
    # Settings of the caller must not reach the demo.
    done = textgate("demo", "--json", TMPDIR=str(temporary), TEXTGATE_MODE="nonsense")
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    names = [step["step"] for step in steps]
    assert names[:5] == ["server", "receiver", "webhook", "webhook", "webhook"]
    assert names[-1] == "stopped"
    assert steps[-1]["after_s"] < LIMIT_S
    calls = [step["call"] for step in steps if step["step"] == "call"]
    assert sorted(call["event"] for call in calls) == ["sms:delivered", "sms:failed", "sms:sent"]
    for call in calls:
        assert call["signatures"] == {"x_signature": "ok", "standard_webhooks": "ok"}
    states = [step["message"]["state"] for step in steps if step["step"] == "state"]
    assert states == ["Delivered", "Failed"]
    assert list(temporary.iterdir()) == []
    assert sorted(path.name for path in textgate.folder.iterdir()) == ["tmp"]


def test_for_a_person_the_demo_is_plain_lines_in_a_pipe(textgate: Command) -> None:
    done = textgate("demo", FORCE_COLOR="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("X-Signature ok, webhook-signature ok") == 3
    assert "\x1b" not in done.stdout
