"""A script in TypeScript or JavaScript, called once for each message.

Source: authgear-server's custom script (B §5): the same payload as the webhook's, the same answer
as its return value. Any script written for Authgear runs; docs/providers/script.md shows how.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from textgate.domain.authgear import encode
from textgate.domain.outcome import Outcome, Reason, Rejected
from textgate.domain.redaction import Redaction
from textgate.domain.script import Module, Program, ScriptRefused
from textgate.outbound.script.desk import Desk
from textgate.providers.answers import payload
from textgate.providers.base import Provider, Sms, Tools, setting
from textgate.providers.script_run import judge

_KEY = os.urandom(32)


@dataclass(frozen=True, slots=True)
class Settings:
    source: str = setting(
        "Custom script",
        help="A module whose default export is a function of one message. At most 100 KiB.",
        multiline=True,
    )
    timeout: Annotated[int, Meta(ge=1, le=60)] = setting(
        "Timeout", help="Seconds for all of a call, its requests included, 1 to 60.", default=30
    )
    resend_unknown: bool = setting(
        "Repeat when in doubt",
        help="Call the script again when it is unknown whether the message went out. Off: only for"
        " one-time codes, of which a second copy does no harm; any other such message fails.",
        default=False,
    )
    app_id: str = setting("app_id", help="Of messages that bring none.", default="")
    template_name: str = setting("template_name", help="Of messages that bring none.", default="")
    language_tag: str = setting("language_tag", help="Of messages that bring none.", default="")
    modules: Mapping[str, Module] = setting("Imported modules", default={}, hidden=True)
    secrets: Mapping[str, str] = setting("Secrets", default={}, hidden=True, secret=True)


class Script:
    """The channel: calls the script and reads what came of it."""

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._settings, self._http, self._workers = settings, tools.http, tools.scripts
        self._program = Program(settings.source, dict(settings.modules))
        self._secrets = Redaction((), settings.secrets.values())
        self._key = f"{tools.channel_id}:{_digest(self._program, settings.secrets)}"

    async def send(self, sms: Sms) -> Outcome:
        if sms.text is None or sms.encrypted:
            return Rejected(Reason.UNSUPPORTED, "scripts are given plain text only")
        run = await self._workers.run(
            self._key,
            self._program,
            encode(payload(sms, self._settings)),
            secrets=self._settings.secrets,
            timeout=self._settings.timeout,
            http=self._http,
        )
        return judge(run, sms, self._secrets)

    async def close(self) -> None:
        await self._workers.drop(self._key)


def default_sample() -> str:
    """Return the script that an editor shows first."""
    return (files("textgate.providers") / "samples/webhook.ts").read_text("utf-8")


def _digest(program: Program, secrets: Mapping[str, str]) -> str:
    """Other code or other secrets are another process. Keyed, so that no secret can be guessed."""
    told = msgspec.json.encode((program, secrets), order="sorted")
    return hashlib.blake2b(told, key=_KEY, digest_size=16).hexdigest()


async def _prepare(settings: Settings, desk: Desk) -> dict[str, Any]:
    try:
        program = await desk.prepare(settings.source)
    except ScriptRefused as refused:
        refused.field = "settings.source"
        raise
    return {"modules": msgspec.to_builtins(program.modules)}


PROVIDER = Provider(
    kind="script",
    title="Custom script (TypeScript or JavaScript)",
    settings=Settings,
    open=Script,
    resend=lambda settings, sms: settings.resend_unknown or sms.one_time,
    max_attempt_s=lambda settings: float(settings.timeout),
    prepare=_prepare,
    prepared_from=("source",),
    scripted=True,
)
