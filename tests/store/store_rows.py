"""Rows to put into a store, and a taker of the work that it hands over."""

from typing import Any

import msgspec

from textgate.domain.account import Account, Channel, Token
from textgate.domain.device import Device
from textgate.domain.event import CallAttempt, Delivery, DeliveryState, Event, Webhook
from textgate.domain.inbound import Attachment, Inbound
from textgate.domain.ingress import Ingress, IngressSecret, OnTimeout
from textgate.domain.lifecycle import State
from textgate.domain.message import Message, Recipient, SendAttempt
from textgate.domain.script import Module, ScriptVersion
from textgate.domain.sms_gateway import SmsGateway
from textgate.domain.template import Template
from textgate.store.base import Job

ACCOUNT = Account(
    id="acc",
    login="LOGIN1",
    password_hash="hash",
    created_at=1,
    settings={},
    webhook_secret="secret",
    previous_secret=None,
    previous_secret_until=0,
)
TOKEN = Token(
    account_id="acc",
    id="t1",
    parent_id=None,
    scopes=("messages:send", "messages:read"),
    refresh=False,
    created_at=1,
    expires_at=1_000,
    revoked_at=None,
)
CHANNEL = Channel(
    account_id="acc",
    id="lane-1",
    name="sim",
    provider="simulator",
    settings={},
    enabled=True,
    position=0,
    max_in_flight=1,
    rate=None,
    retry_waits=None,
    created_at=1,
    updated_at=1,
)
DEVICE = Device(
    account_id="acc",
    id="lane-1",
    name="phone",
    token_hash="digest",
    event_key="unguessable",
    push_token=None,
    sim_cards=[],
    app_version=None,
    health=None,
    tells_server=False,
    created_at=1,
    updated_at=1,
    last_seen=1,
    offline_since=None,
)
MESSAGE = Message(
    account_id="acc",
    id="m1",
    created_at=1_000,
    state=State.PENDING,
    text="Hello",
    data=None,
    port=None,
    encrypted=False,
    sim_number=None,
    delivery_report=True,
    priority=0,
    valid_until=None,
    schedule_at=None,
    device_id="lane-1",
    fingerprint="f",
    recipient_count=1,
    parts=1,
    context=None,
)
RECIPIENT = Recipient(
    account_id="acc",
    message_id="m1",
    n=0,
    number="+41790000010",
    state=State.PENDING,
    lane="lane-1",
    route="",
    attempt=0,
    base=0,
    due_at=0,
    deadline=10**15,
)
SEND_ATTEMPT = SendAttempt(
    account_id="acc",
    message_id="m1",
    n=0,
    attempt=1,
    channel_id="lane-1",
    started_at=1_000,
    elapsed_ms=1.5,
    outcome="accepted",
)
INBOUND = Inbound(
    account_id="acc",
    id="i1",
    type="SMS",
    device_id="lane-1",
    sender="+41790000010",
    recipient=None,
    sim_number=None,
    content="Hello",
    created_at=1_000,
)
ATTACHMENT = Attachment(
    account_id="acc",
    inbound_id="i1",
    part_id=1,
    content_type="image/jpeg",
    name="photo.jpg",
    size=3,
    data="AAEC",
)
EVENT = Event(
    account_id="acc",
    id="e1",
    type="sms:sent",
    device_id="lane-1",
    message_id="m1",
    payload="{}",
    created_at=1_000,
)
DELIVERY = Delivery(
    account_id="acc",
    event_id="e1",
    lane="key-1",
    state=DeliveryState.PENDING,
    attempt=0,
    base=0,
    due_at=0,
    created_at=1_000,
)
CALL_ATTEMPT = CallAttempt(
    account_id="acc",
    event_id="e1",
    lane="key-1",
    attempt=1,
    started_at=1_000,
    elapsed_ms=1.5,
    status=200,
    ok=True,
    detail=None,
)
WEBHOOK = Webhook(
    account_id="acc",
    id="hook-1",
    key="key-1",
    url="https://example.com/hook",
    event="sms:sent",
    device_id=None,
    enabled=True,
    disabled_reason=None,
    created_at=1,
    updated_at=1,
)
INGRESS = Ingress(
    account_id="acc",
    id="in-1",
    key="address-1",
    dialect="authgear",
    name="shop",
    enabled=True,
    secrets=(IngressSecret(id="s1", secret="ingress secret", created_at=1),),
    allow_unsigned=False,
    budget_ms=25_000,
    on_timeout=OnTimeout.OK,
    validity_ms=300_000,
    channel_id=None,
    created_at=1,
    updated_at=1,
)
SMS_GATEWAY = SmsGateway(
    account_id="acc",
    enabled=True,
    provider="script",
    channels={"webhook": "lane-0", "script": "lane-1"},
    updated_at=1,
)
MODULE = Module(code="export {}", media_type="application/javascript", sha256="0" * 64)
SCRIPT = ScriptVersion(
    account_id="acc",
    channel_id="lane-1",
    n=1,
    source="export default () => null",
    modules={"https://example.com/mod.js": MODULE},
    created_at=1,
)
TEMPLATE = Template(
    account_id="acc",
    name="verification",
    language="de",
    text="Code: {{ code }}",
    created_at=1,
    updated_at=1,
)


class Taker:
    """Has room for everything, keeps what it is given, and gives nothing back."""

    def __init__(self) -> None:
        self.taken: list[Job] = []

    def room(self, job_type: type[Job], lane: str) -> bool:
        return True

    def take(self, job: Job) -> None:
        self.taken.append(job)

    def withdraw(self, job: Job) -> bool:
        return False

    def poke(self, at: int) -> None: ...


def like(row: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(row, **changes)
