"""/v1/script-checks and /v1/script-types: what an editor of scripts asks for before it saves."""

from typing import Annotated

import msgspec

from textgate.api.native_v1.shapes import location
from textgate.api.operation import Answer, Call, Content, Operation
from textgate.domain.account import Scope
from textgate.domain.script import Finding
from textgate.outbound.script.desk import Check, Stage


class ScriptSource(msgspec.Struct, forbid_unknown_fields=True):
    """A script that is not saved yet."""

    source: str


class CheckShape(msgspec.Struct):
    """How far the check of a script has come, and what it has found."""

    id: str
    stage: Stage
    findings: Annotated[
        list[Finding],
        msgspec.Meta(description="Empty while it goes on, and for a script that can be saved."),
    ]
    problem: str | None
    """Why there was no check at all, or null."""
    elapsed_ms: float


def _shape(check: Check) -> CheckShape:
    return CheckShape(
        id=check.id,
        stage=check.stage,
        findings=list(check.findings),
        problem=check.problem,
        elapsed_ms=round(check.elapsed_ms, 3),
    )


async def _begin(call: Call[None, ScriptSource]) -> Answer:
    check = call.services.desk.begin(call.account.id, call.body.source)
    return Answer(202, _shape(check), location("script-checks", check.id))


async def _get(call: Call[None, None]) -> Answer:
    return Answer(200, _shape(call.services.desk.check(call.account.id, call.path["id"])))


async def _types(call: Call[None, None]) -> Content:
    declarations = call.services.desk.declarations().encode()
    return Content(declarations, "text/plain; charset=utf-8")


_TAG = "scripts"
OPERATIONS = (
    Operation(
        "POST",
        "/script-checks",
        "Check a script without saving it",
        _TAG,
        Scope.CHANNELS_WRITE,
        _begin,
        body=ScriptSource,
        answer=CheckShape,
        status=202,
        errors={
            400: "No script.",
            429: "Your other scripts are still being checked.",
            503: "Too many scripts are being checked.",
        },
        description="Takes some seconds: ask at ``Location`` until the stage is ``done``. What was"
        " checked is saved at once afterwards.",
    ),
    Operation(
        "GET",
        "/script-checks/{id}",
        "Ask how far a check has come",
        _TAG,
        Scope.CHANNELS_WRITE,
        _get,
        answer=CheckShape,
        errors={404: "No such check, or it was more than ten minutes ago."},
    ),
    Operation(
        "GET",
        "/script-types",
        "Get the declarations of what a script may import",
        _TAG,
        Scope.CHANNELS_READ,
        _types,
        answer=str,
        answer_type="text/plain; charset=utf-8",
        description="TypeScript, for editors: what Authgear's module of types declares here.",
    ),
)
