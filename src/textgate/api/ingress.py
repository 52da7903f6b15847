"""``/ingress``: how "send this" arrives from other systems, in words of their own.

A caller proves itself by the address and its signature, hears what became of the message, and is
told of every trouble in its own format.
"""

import hashlib
from functools import partial
from typing import Any

import msgspec
import structlog

from textgate.api.operation import Call, Content, Edge, Group, Operation, Problem
from textgate.api.problem import problem_of
from textgate.domain.errors import Invalid, TextgateError
from textgate.domain.ingress import Ingress
from textgate.domain.outcome import Reason
from textgate.domain.phone import FIELD, mask
from textgate.domain.times import Milliseconds
from textgate.gateway.submit import Checked, Submitted, check, name_of_repeat, submit
from textgate.gateway.verdict import await_verdict
from textgate.ingress.base import Dialect, Refusal, Request, Signature, Verdict
from textgate.ingress.discovery import dialects
from textgate.store.base import Tx
from textgate.telemetry import ACCEPTED

LARGEST = 1024 * 1024
"""Bytes of a request (B §3.6)."""

_NOBODYS = ("what is compared where nobody's address was asked, so that it takes as long",)
_NO_SUCH_ADDRESS = Refusal(404, "there is no ingress at this address, or it is disabled")
_WRONG = Refusal(401, "the signature was made with another secret, or over another body")
_UNSIGNED = Refusal(401, "the request is not signed")
_OWN_WORDS = {
    "deviceId": "the channel of this ingress was removed or is disabled",
    "id": "the Idempotency-Key is that of another message",
}
"""What is said of members that no caller of these doors has given, by their names."""

log = structlog.get_logger("textgate.ingress")


async def _serve(dialect: Dialect, call: Call[None, bytes]) -> Content:
    """Answer one request, and log it in one line."""
    services, began = call.services, call.services.clock.now()
    request = Request(call.headers, call.body)
    key = call.path["key"]
    ingress = await services.store.read(lambda tx: tx.ingresses.by_key(key, began))
    if ingress is not None and (not ingress.enabled or ingress.dialect != dialect.name):
        ingress = None
    secrets = [s.secret for s in ingress.active(began)] if ingress else _NOBODYS
    signature = dialect.verify(request, secrets)
    wide: dict[str, Any] = {"dialect": dialect.name, "signature": signature.value}
    said: Verdict | Refusal
    if ingress is None:
        said = _NO_SUCH_ADDRESS
    elif signature is Signature.WRONG:
        said = _WRONG
    elif signature is Signature.MISSING and not ingress.allow_unsigned:
        said = _UNSIGNED
    else:
        said = await _send(dialect, call, request, ingress, began, wide)
    reply = dialect.answer(said)
    if ingress is not None:
        wide |= {"account": ingress.account_id, "ingress": ingress.id}
    ms = services.clock.now() - began
    log.info("ingress", **wide, status=reply.status, code=reply.code, ms=ms)
    return Content(reply.body, reply.content_type, reply.status)


async def _send(
    dialect: Dialect,
    call: Call[None, bytes],
    request: Request,
    ingress: Ingress,
    began: Milliseconds,
    wide: dict[str, Any],
) -> Verdict | Refusal:
    """Store what is asked, and wait for what becomes of it; adds to the line of the log."""
    services = call.services
    try:
        checked = _check(dialect, request, ingress)
    except Invalid as wrong:
        if wrong.field == FIELD:
            return Verdict(reason=Reason.INVALID_NUMBER, description=wrong.message)
        return Refusal(400, wrong.message)
    wide["to"] = mask(checked.numbers[0])
    try:
        sent = await services.store.write(lambda tx: _store(tx, ingress, checked))
    except Invalid as wrong:  # the message keeps the rules, so it is the route
        return Verdict(reason=Reason.NO_CHANNEL, description=_told(wrong))
    except TextgateError as wrong:
        return Refusal(problem_of(wrong).status, _told(wrong))
    if sent.created:
        ACCEPTED.inc(f"ingress_{dialect.name}")
    wide["message"] = sent.message.id
    return await await_verdict(
        services.store,
        services.clock,
        sent.message,
        end=began + ingress.budget_ms,
        on_timeout=ingress.on_timeout,
        stopping=services.stopping,
    )


def _told(wrong: TextgateError) -> str:
    return _OWN_WORDS.get(wrong.field or "", wrong.message)


def _check(dialect: Dialect, request: Request, ingress: Ingress) -> Checked:
    """Read and check. Raises ``Invalid``."""
    repeat = request.headers.get("idempotency-key")
    wanted = msgspec.structs.replace(
        dialect.read(request),
        id=_message_id(ingress.id, repeat) if repeat else None,
        device_id=ingress.channel_id,
    )
    return check(wanted, default_region=None)


def _store(tx: Tx, ingress: Ingress, checked: Checked) -> Submitted:
    wanted = checked.wanted
    if wanted.id is not None:
        name = name_of_repeat(tx, ingress.account_id, wanted.id)
        wanted = msgspec.structs.replace(wanted, id=name)
        checked = msgspec.structs.replace(checked, wanted=wanted)
    return submit(tx, ingress.account_id, checked, validity_ms=ingress.validity_ms)


def _message_id(ingress_id: str, idempotency_key: str) -> str:
    """The same for each repeat: 32 characters that nobody meets by chance."""
    name = f"{ingress_id} {idempotency_key}".encode()
    return hashlib.blake2b(name, digest_size=16).hexdigest()


def _group(dialect: Dialect) -> Group:
    def spell(problem: Problem) -> msgspec.Raw:
        return msgspec.Raw(dialect.answer(Refusal(problem.status, problem.message)).body)

    edge = Edge(
        spell=spell,
        problem_type=dialect.answer_type,
        wrong_type=Problem(400, "invalid", "the body is not of a type that is read here"),
        headers=(),
    )
    operations = tuple(
        Operation(
            "POST",
            f"/{{key}}{door}",
            summary,
            "sending",
            None,
            partial(_serve, dialect),
            body=bytes,
            largest=LARGEST,
            answer=dialect.answer_type,
            errors={
                400: "The request is malformed, or cannot be sent.",
                401: "The signature is missing or wrong.",
                404: "There is no ingress at this address, or it is disabled.",
                409: "The Idempotency-Key is that of another message.",
                429: "The provider has a limit.",
            },
            public=True,
            description="The answer comes when it is known what became of the message, or when the"
            " time that the ingress allows is over.",
        )
        for door, summary in dialect.doors.items()
    )
    return Group(dialect.title, (f"/ingress/{dialect.name}",), edge, operations)


GROUPS = tuple(_group(dialect) for dialect in dialects().values())
