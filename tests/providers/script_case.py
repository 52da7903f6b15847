"""The kit of the tests that run whole scripts: they are prepared as saving does it, and what they
call by name is answered by the far side."""

import re
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from provider_case import Bench

from textgate.domain.errors import Invalid
from textgate.outbound.http import Failure, Http, Reply
from textgate.outbound.script.deno import Deno
from textgate.outbound.script.desk import Desk
from textgate.providers.base import OpenChannel
from textgate.providers.script import PROVIDER

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/scripts"
SEED = ROOT.parent / "shared/seeds/authgear-webhook-custom-script.txt"
"""Authgear's own page with its two samples; not a part of this project."""


class Towards:
    """The real client, but some origins are dialled elsewhere.

    Their port 443 cannot be had on every machine, nor may a test call them. Everything but the
    place is as it was asked for, and goes through the real client.
    """

    def __init__(self, http: Http, place: str, origins: Sequence[str]) -> None:
        self._http, self._place, self._origins = http, place, origins

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        timeout: float,
        keep_headers: bool = False,
    ) -> Coroutine[Any, Any, Reply | Failure]:
        for origin in self._origins:
            if url == origin or url.startswith((f"{origin}/", f"{origin}?")):
                url = self._place + url.removeprefix(origin)
        return self._http.request(
            method, url, headers=headers, body=body, timeout=timeout, keep_headers=keep_headers
        )


async def open_script(
    bench: Bench, source: str, secrets: Mapping[str, str] | None = None, **settings: Any
) -> OpenChannel:
    """Open a channel with a script that was checked and prepared. Raises ``Invalid``."""
    given = {"source": source, **settings}
    desk = Desk(Deno(), bench.http, hosts=[])
    assert PROVIDER.prepare is not None
    hidden = await PROVIDER.prepare(PROVIDER.parse(given), desk)
    await desk.close()
    return bench.open(PROVIDER, given | hidden | {"secrets": dict(secrets or {})})


def example(name: str) -> str:
    return (EXAMPLES / name).read_text("utf-8")


def seed_samples() -> list[str]:
    """The two scripts of Authgear's page, byte for byte. Raises ``Invalid`` if there are others."""
    text = SEED.read_text("utf-8")
    found = re.findall(r"^```typescript\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    samples = [block for block in found if "export default" in block]
    if len(samples) != 2:
        raise Invalid(f"{SEED.name} has {len(samples)} scripts, not 2")
    return samples
