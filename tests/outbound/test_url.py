"""A URL is read in one way only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgate.domain.errors import Invalid
from textgate.outbound.guard import Guard
from textgate.outbound.url import parse_url


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://EXAMPLE.com:443/A?b=C#d", "https://example.com/A?b=C"),
        ("http://example.com:8080?x", "http://example.com:8080/?x"),
        ("https://example.com./", "https://example.com/"),
        ("https://example.com:00443/", "https://example.com/"),
        ("https://bücher.example/ü?ä=ß", "https://xn--bcher-kva.example/%C3%BC?%C3%A4=%C3%9F"),
        ("https://straße.example/", "https://xn--strae-oqa.example/"),
        ("https://my_service/a@b:c", "https://my_service/a@b:c"),
        ("https://example.com/%2e%2e/..", "https://example.com/%2e%2e/.."),
        ('https://example.com/a\\b"<>', "https://example.com/a%5Cb%22%3C%3E"),
        ("https://[2606:4700:0::1111]/", "https://[2606:4700::1111]/"),
        ("https://1.1.1.1:8443/", "https://1.1.1.1:8443/"),
    ],
)
def test_a_good_url_has_one_normal_form(url: str, text: str) -> None:
    checked = Guard().check_url(url)
    assert checked.text == text
    assert parse_url(text) == checked


@pytest.mark.parametrize(
    "literal",
    [
        *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7F.0.0.0x1"),
        *("017700000001", "0177.0.0.01", "127.0.0.1.", "１２７.0.0.1", "127。0。0。1"),
        *("[::ffff:127.0.0.1]", "[::1]"),
    ],
)
def test_an_odd_spelling_of_an_address_is_judged_by_what_it_means(literal: str) -> None:
    with pytest.raises(Invalid, match="loopback"):
        Guard().check_url(f"https://{literal}/")
    assert Guard(allow_loopback=True).check_url(f"http://{literal}/").address is not None


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "must begin with https://"),
        ("example.com", "must begin with https://"),
        ("ftp://example.com/", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("https:/example.com", "must begin with https://"),
        ("https:///path", "no host"),
        ("https://:443/", "no host"),
        ("https://user@example.com/", "user name or password"),
        ("https://user:pw@example.com/", "user name or password"),
        ("https://@example.com/", "user name or password"),
        ("https://good.example\\@evil.example/", "user name or password"),
        ("https://good.example\\.evil.example/", "no valid host name"),
        ("https://exa mple.com/", "space or a control"),
        (" https://example.com/", "space or a control"),
        ("https://example.com/\n", "space or a control"),
        ("https://example.com/\x7f", "space or a control"),
        ("https://example.com/\u200b", "space or a control"),
        ("https://example.com/\u2028", "space or a control"),
        ("https://example.com:0/", "port"),
        ("https://example.com:65536/", "port"),
        ("https://example.com:+80/", "host or port"),
        ("https://example.com:80:80/", "host or port"),
        ("https://example.com:https/", "host or port"),
        ("https://[::1/", "host or port"),
        ("https://[::1]a/", "host or port"),
        ("https://[1.2.3.4]/", "no valid host name"),
        ("https://[::g]/", "no valid host name"),
        ("https://[fe80::1%25eth0]/", "network interface"),
        ("https://::1/", "host or port"),
        ("https://a..b/", "no valid host name"),
        ("https://-a.example/", "no valid host name"),
        ("https://exam%70le.com/", "no valid host name"),
        ("https://127.0.0.%31/", "no valid host name"),
        ("https://xn--\N{SNOWMAN}\ufe0f/", "no valid host name"),
        ("https://" + "a" * 64 + ".example/", "no valid host name"),
        ("https://" + "a." * 127 + "example/", "no valid host name"),
        ("https://1.2.3.4.5/", "neither a name nor an IP address"),
        ("https://256.1.1.1/", "neither a name nor an IP address"),
        ("https://1.2.65536/", "neither a name nor an IP address"),
        ("https://4294967296/", "neither a name nor an IP address"),
        ("https://08.1.1.1/", "neither a name nor an IP address"),
        ("https://0x1g.1/", "neither a name nor an IP address"),
        ("https://example.1/", "neither a name nor an IP address"),
        ("https://example.com/" + "a" * 2048, "longer than 2048"),
    ],
)
def test_a_bad_url_is_refused_with_the_rule_it_breaks(url: str, says: str) -> None:
    with pytest.raises(Invalid) as wrong:
        Guard().check_url(url)
    assert says in wrong.value.message
    assert wrong.value.field == "url"


@given(st.text(max_size=60) | st.text(max_size=30).map(lambda text: f"https://{text}"))
def test_any_text_is_a_url_of_one_normal_form_or_is_refused(text: str) -> None:
    try:
        checked = parse_url(text)
    except Invalid:
        return
    assert parse_url(checked.text) == checked
    assert checked.text.isascii()
    assert "@" not in checked.text.split("/")[2]
