"""One event to one webhook: signed, posted, and the answer judged."""

import random
from dataclasses import dataclass

import msgspec
import structlog

from textgate import telemetry
from textgate.domain import signing
from textgate.domain.account import Account
from textgate.domain.calling import Again, Dead, Disable, Told, judge
from textgate.domain.event import CallJob, Event, Webhook
from textgate.domain.masking import mask_digits
from textgate.domain.retry import WEBHOOK_RETRIES, RetryPolicy, webhook_policy
from textgate.domain.times import Clock, Milliseconds
from textgate.engine.insist import insist
from textgate.engine.lane import Lane
from textgate.gateway.tell import Call, settle_call
from textgate.outbound.http import Failure, HttpClient, Reply
from textgate.store.base import Store, Tx

TIMEOUT_S = 30.0
"""A §4.6: our senders wait the full 30 s."""
EXCERPT = 200

OUTCOME = {Told: "ok", Again: "retried", Dead: "dead", Disable: "disabled"}
_encode = msgspec.json.Encoder().encode
log = structlog.get_logger("textgate.notify")


@dataclass(slots=True, eq=False)
class Listener:
    """A webhook, and what of its account its calls need."""

    webhook: Webhook
    account: Account
    policy: RetryPolicy
    generation: tuple[int, int]


def envelope(event: Event, webhook_id: str) -> bytes:
    """Return the body of a call (A §4.2)."""
    return _encode(
        {
            "deviceId": event.device_id,
            "event": event.type,
            "id": event.id,
            "payload": msgspec.Raw(event.payload.encode()),
            "webhookId": webhook_id,
        }
    )


def sign(event_id: str, body: bytes, secrets: tuple[str, ...], now_s: int) -> list[tuple[str, str]]:
    """Return both signature schemes' headers; the newest secret comes first."""
    headers = [
        ("Content-Type", "application/json"),
        ("X-Timestamp", str(now_s)),
        ("X-Signature", signing.timestamped_hex(secrets[0], body, now_s)),
        ("webhook-id", event_id),
        ("webhook-timestamp", str(now_s)),
        (
            "webhook-signature",
            " ".join(signing.standard_webhooks(s, event_id, now_s, body) for s in secrets),
        ),
    ]
    headers += [
        ("X-Signature-Previous", signing.timestamped_hex(s, body, now_s)) for s in secrets[1:]
    ]
    return headers


class Notify:
    """The runner of ``CallJob``."""

    work = "notify"

    def __init__(
        self,
        store: Store,
        clock: Clock,
        http: HttpClient,
        *,
        capacity: int,
        jitter: float,
        heeds: bool = True,
    ) -> None:
        """``heeds``: as in ``domain.calling.judge``."""
        self.capacity = capacity
        self._jitter, self._heeds = jitter, heeds
        self._store = store
        self._clock = clock
        self._http = http
        self._listeners: dict[str, Listener] = {}
        self._tidy_at = -1
        """The generation of webhooks at which nothing kept was of a removed one."""

    def lanes(self, tx: Tx) -> list[tuple[str, Milliseconds]]:
        return tx.deliveries.lanes()

    def take(self, tx: Tx, lane: str, limit: int) -> list[CallJob]:
        return tx.deliveries.take(lane, limit)

    def release(self, tx: Tx, job: CallJob) -> None:
        tx.deliveries.release(job)

    async def prepare(self, job: CallJob, lane: Lane[CallJob]) -> None:
        """All webhooks have the same limits."""

    async def rest(self, job: CallJob, lane: Lane[CallJob]) -> None:
        await self.run(job, lane)  # a webhook never rests: its schedule is a promise

    async def run(self, job: CallJob, lane: Lane[CallJob]) -> None:
        listener = await self._listener(job)
        if listener is None or not listener.webhook.enabled:
            await self._store.write(lambda tx: _put_aside(tx, job, listener))
            return
        started_at = self._clock.now()
        webhook = listener.webhook
        body = envelope(job.event, webhook.id)
        secrets = listener.account.secrets(started_at)
        answer = await self._http.request(
            "POST",
            webhook.url,
            headers=sign(job.event.id, body, secrets, started_at // 1000),
            body=body,
            timeout=TIMEOUT_S,
        )
        call = _judged(answer, job, listener.policy, started_at, heeds=self._heeds)
        mine = await insist(
            self._store, self._clock, lambda tx: settle_call(tx, job, webhook, call)
        )
        self._note(job, lane, call, mine)

    async def _listener(self, job: CallJob) -> Listener | None:
        generation = (self._store.generation("webhook"), self._store.generation("account"))
        known = self._listeners.get(job.lane)
        if known is not None and known.generation == generation:
            return known
        account_id = job.event.account_id
        webhook, account = await self._store.read(
            lambda tx: (tx.webhooks.by_key(account_id, job.lane), tx.accounts.get(account_id))
        )
        if webhook is None or account is None:
            self._listeners.pop(job.lane, None)
            return None
        retries = account.setting("webhooks", "retry_count") or WEBHOOK_RETRIES
        listener = Listener(webhook, account, webhook_policy(retries, self._jitter), generation)
        self._listeners[job.lane] = listener
        return listener

    async def forget_removed(self) -> None:
        """Keep nothing of webhooks that are no more; looks only when one may have gone."""
        generation = self._store.generation("webhook")
        if generation == self._tidy_at:
            return
        remembered = set(self._listeners)  # before the look: what comes meanwhile stays
        for key in remembered - await self._store.read(lambda tx: tx.webhooks.keys()):
            self._listeners.pop(key, None)
        self._tidy_at = generation

    def _note(self, job: CallJob, lane: Lane[CallJob], call: Call, mine: bool) -> None:
        outcome = OUTCOME[type(call.verdict)]
        now = self._clock.now()
        telemetry.CALLS.inc(outcome)
        telemetry.CALL_SECONDS.observe(call.elapsed_ms / 1000)
        if call.status is None:  # no answer at all: it may hang for 30 s each time
            lane.breaker.failures += 1
        else:
            lane.breaker.succeeded()
        if isinstance(call.verdict, Told):
            telemetry.TIME_TO_TOLD.observe((now - job.event.created_at) / 1000)
        if not mine:
            telemetry.LATE_RESULTS.inc(self.work)
        log.info(
            "webhook",
            account=job.event.account_id,
            webhook=job.lane,
            type=job.event.type,
            id=job.event.id,
            attempt=job.delivery.attempt,
            outcome=outcome if mine else "lost",
            status=call.status,
            ms=call.elapsed_ms,
        )


def _judged(
    answer: Reply | Failure,
    job: CallJob,
    policy: RetryPolicy,
    started_at: Milliseconds,
    *,
    heeds: bool,
) -> Call:
    status = answer.status if isinstance(answer, Reply) else None
    retry_after = answer.retry_after if isinstance(answer, Reply) else None
    verdict = judge(
        status,
        retry_after,
        policy,
        attempt=job.delivery.attempt - job.delivery.base,
        dice=random.random(),
        heeds=heeds,
    )
    detail = None
    if isinstance(answer, Failure):
        detail = answer.detail
    elif answer.body and not isinstance(verdict, Told):
        detail = mask_digits(answer.body[:EXCERPT].decode(errors="replace"))
    return Call(verdict, started_at, round(answer.elapsed_ms, 3), status, detail)


def _put_aside(tx: Tx, job: CallJob, listener: Listener | None) -> None:
    """The webhook is gone, or disabled: drop what is owed to it, or keep it for later."""
    account_id = job.event.account_id
    if listener is None:
        tx.deliveries.drop(account_id, job.lane)
    else:
        tx.deliveries.hold(account_id, job.lane)
