import pytest

from textgate.domain.errors import Invalid
from textgate.domain.pairing import (
    Invitation,
    mobile_url,
    pairing_text,
    read_code,
    read_pairing_text,
)

URL = "https://sms.example.com/api/mobile/v1"


def test_what_is_made_is_read() -> None:
    assert mobile_url("https://sms.example.com") == URL
    text = pairing_text(URL, "k7mq2x")
    assert text == f"{URL}#code=k7mq2x"
    assert read_pairing_text(text) == Invitation(URL, "k7mq2x")


@pytest.mark.parametrize(
    ("text", "invited"),
    [
        ("k7mq2x", Invitation(None, "k7mq2x")),
        (" K7MQ2X\n", Invitation(None, "k7mq2x")),
        (f" {URL}/#code=K7MQ2X ", Invitation(URL, "k7mq2x")),
        ("http://10.0.0.5:8080/api/mobile/v1#code=k7mq2x&later=1",
         Invitation("http://10.0.0.5:8080/api/mobile/v1", "k7mq2x")),
        ("http://[fd00::5]:8080/mobile/v1#code=k7mq2x",
         Invitation("http://[fd00::5]:8080/mobile/v1", "k7mq2x")),
    ],
)  # fmt: skip
def test_a_code_alone_and_what_a_person_makes_of_the_text_are_read_too(
    text: str, invited: Invitation
) -> None:
    assert read_pairing_text(text) == invited


@pytest.mark.parametrize(
    "text",
    ["", "k7mq2", "k7mq2xx", "k7mq20", "k7mq2l", URL, f"{URL}#code=", f"{URL}#code=k7mq2o",
     "ftp://sms.example.com#code=k7mq2x", "https://#code=k7mq2x", "http://[::1#code=k7mq2x",
     "sms.example.com#code=k7mq2x"],
)  # fmt: skip
def test_what_is_no_pairing_text_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_pairing_text(text)
    assert refused.value.field == "code"


def test_a_code_is_kept_in_lower_case_and_has_no_letters_that_look_alike() -> None:
    assert read_code(" K7MQ2X ") == "k7mq2x"
    assert [read_code(wrong) for wrong in ("k7mq2i", "k7mq2o", "k7mq21", "k7mq2ı", "")] == [
        None
    ] * 5
