"""A phone: nothing is sent to it; its settings are the limits of its queue."""

import pytest
from provider_case import Bench, Sample, an_sms, kind

from textgate.domain.errors import Invalid
from textgate.domain.outcome import Reason, Rejected
from textgate.providers.phone import PROVIDER, Settings

SAMPLE = Sample(lambda url: {"max_pending": 10, "max_failed": 3}, calls_http=False)


async def test_a_phone_fetches_its_messages_itself(bench: Bench) -> None:
    channel = bench.open(PROVIDER, {})
    assert kind(await channel.send(an_sms())) == (Rejected, Reason.UNSUPPORTED)
    assert PROVIDER.pulled


def test_without_settings_there_are_no_limits() -> None:
    assert PROVIDER.parse({}) == Settings(0, 0, 0, 3_600)


@pytest.mark.parametrize("name", ["max_pending", "max_pending_age_s", "max_failed"])
def test_limits_are_counts_that_are_not_negative(name: str) -> None:
    assert getattr(PROVIDER.parse({name: 0}), name) == 0
    with pytest.raises(Invalid) as refused:
        PROVIDER.parse({name: -1})
    assert refused.value.field == f"settings.{name}"
