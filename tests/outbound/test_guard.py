"""Which addresses may be called, and what the others are told."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgate.domain.errors import Invalid
from textgate.outbound.guard import Guard, Resolve

PUBLIC = ["93.184.215.14", "1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700::1111"]

REFUSED = [
    ("127.0.0.1", "a loopback address (127.0.0.0/8)"),
    ("127.255.255.254", "a loopback address (127.0.0.0/8)"),
    ("10.0.0.1", "a private address (10.0.0.0/8)"),
    ("172.16.0.1", "a private address (172.16.0.0/12)"),
    ("172.31.255.255", "a private address (172.16.0.0/12)"),
    ("192.168.1.1", "a private address (192.168.0.0/16)"),
    ("169.254.0.1", "a link-local address (169.254.0.0/16)"),
    ("169.254.169.254", "a cloud metadata address (169.254.169.254/32)"),
    ("169.254.170.2", "a cloud metadata address (169.254.170.2/32)"),
    ("168.63.129.16", "a cloud metadata address (168.63.129.16/32)"),
    ("100.100.100.200", "a cloud metadata address (100.100.100.200/32)"),
    ("100.64.0.1", "a shared carrier address (100.64.0.0/10)"),
    ("100.127.255.255", "a shared carrier address (100.64.0.0/10)"),
    ("0.0.0.0", "an unspecified address (0.0.0.0/8)"),
    ("0.1.2.3", "an unspecified address (0.0.0.0/8)"),
    ("192.0.0.8", "a protocol address (192.0.0.0/24)"),
    ("192.0.2.1", "a documentation address (192.0.2.0/24)"),
    ("198.51.100.1", "a documentation address (198.51.100.0/24)"),
    ("203.0.113.1", "a documentation address (203.0.113.0/24)"),
    ("192.88.99.1", "a 6to4 relay address (192.88.99.0/24)"),
    ("198.18.0.1", "a benchmarking address (198.18.0.0/15)"),
    ("198.19.255.255", "a benchmarking address (198.18.0.0/15)"),
    ("224.0.0.1", "a multicast address (224.0.0.0/4)"),
    ("239.255.255.255", "a multicast address (224.0.0.0/4)"),
    ("240.0.0.1", "a reserved address (240.0.0.0/4)"),
    ("255.255.255.255", "the broadcast address (255.255.255.255/32)"),
    ("::", "the unspecified address (::/128)"),
    ("::1", "the loopback address (::1/128)"),
    ("fd00:ec2::254", "a cloud metadata address (fd00:ec2::254/128)"),
    ("fc00::1", "a private address (fc00::/7)"),
    ("fdff::1", "a private address (fc00::/7)"),
    ("fe80::1", "a link-local address (fe80::/10)"),
    ("fe80::1%eth0", "a link-local address (fe80::/10)"),
    ("fec0::1", "a site-local address (fec0::/10)"),
    ("ff02::1", "a multicast address (ff00::/8)"),
    ("2001:db8::1", "a documentation address (2001:db8::/32)"),
    ("3fff::1", "a documentation address (3fff::/20)"),
    ("100::1", "a discard address (100::/64)"),
    ("2001:2::1", "a protocol address (2001::/23)"),
    ("5f00::1", "no public address (outside 2000::/3)"),
    ("4000::1", "no public address (outside 2000::/3)"),
    ("::ffff:10.0.0.1", "the IPv4-mapped form of 10.0.0.1, a private address (10.0.0.0/8)"),
    ("::ffff:127.0.0.1", "the IPv4-mapped form of 127.0.0.1, a loopback address (127.0.0.0/8)"),
    ("::10.0.0.1", "an IPv4-compatible address (::/96)"),
    ("::93.184.215.14", "an IPv4-compatible address (::/96)"),
    ("::ffff:0:10.0.0.1", "an IPv4-translated address (::ffff:0:0:0/96)"),
    ("2002:0a00:0001::", "a 6to4 address (2002::/16)"),
    ("2002:5db8:d70e::1", "a 6to4 address (2002::/16)"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "a Teredo address (2001::/32)"),
    ("64:ff9b::10.0.0.1", "the NAT64 form of 10.0.0.1, a private address (10.0.0.0/8)"),
    ("64:ff9b::169.254.169.254", "the NAT64 form of 169.254.169.254, a cloud metadata address"),
    ("64:ff9b:1::1", "a local NAT64 address (64:ff9b:1::/48)"),
]


@pytest.mark.parametrize(("address", "what"), REFUSED, ids=[address for address, _ in REFUSED])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_address_that_is_not_public_is_refused_by_its_range(
    address: str, what: str, scheme: str
) -> None:
    message = Guard().refusal(address, host="hooks.example", scheme=scheme)
    assert message is not None
    assert message.startswith(f"hooks.example is {address}, which is {what}")
    assert message.endswith("; TEXTGATE_ALLOW_ADDRESSES can allow it")


@pytest.mark.parametrize("address", [*PUBLIC, "::ffff:93.184.215.14", "64:ff9b::93.184.215.14"])
def test_a_public_address_may_be_called_by_https_and_not_by_http(address: str) -> None:
    assert Guard().refusal(address, host=address, scheme="https") is None
    message = Guard().refusal(address, host=address, scheme="http")
    assert message is not None
    assert "plain http needs an address named in TEXTGATE_ALLOW_ADDRESSES" in message


@given(st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address))
def test_whatever_is_let_through_is_global_by_the_standard_library_too(
    address: IPv4Address | IPv6Address,
) -> None:
    if Guard().refusal(str(address), host="x", scheme="https") is None:
        assert address.is_global
        assert not address.is_multicast


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_a_mapped_address_is_judged_like_the_one_it_maps(inner: IPv4Address) -> None:
    for guard in (Guard(), Guard(["10.0.0.0/8", "64.0.0.0/2"]), Guard(allow_loopback=True)):
        for scheme in ("http", "https"):
            plain = guard.refusal(str(inner), host="x", scheme=scheme)
            mapped = guard.refusal(f"::ffff:{inner}", host="x", scheme=scheme)
            assert (plain is None) == (mapped is None)


@pytest.mark.parametrize(
    ("entry", "address", "host"),
    [
        ("10.0.0.0/8", "10.9.8.7", "x"),
        ("10.0.0.0/8", "::ffff:10.9.8.7", "x"),
        ("10.9.8.7", "10.9.8.7", "x"),
        (" 10.9.8.7 ", "10.9.8.7", "x"),
        ("fd00::/8", "fd12::1", "x"),
        ("[fd12::1]", "fd12::1", "x"),
        ("fe80::/10", "fe80::1%eth0", "x"),
        ("93.184.215.14", "93.184.215.14", "x"),
        ("hooks.internal", "10.1.1.1", "hooks.internal"),
        ("Hooks.Internal.", "10.1.1.1", "hooks.internal"),
        ("my_service", "172.18.0.3", "my_service"),
        ("bücher.example", "10.1.1.1", "xn--bcher-kva.example"),
        ("2002::/16", "2002:0a00:0001::", "x"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_entry_allows_what_it_names_by_both_schemes(
    entry: str, address: str, host: str, scheme: str
) -> None:
    assert Guard([entry]).refusal(address, host=host, scheme=scheme) is None
    assert Guard().refusal(address, host=host, scheme="http") is not None


@pytest.mark.parametrize(
    ("entry", "address", "host"),
    [
        ("10.0.0.0/8", "11.0.0.1", "x"),
        ("10.0.0.0/8", "64:ff9b::10.0.0.1", "x"),
        ("hooks.internal", "10.1.1.1", "other.internal"),
        ("hooks.internal", "10.1.1.1", "a.hooks.internal"),
        ("fd00::/8", "fe80::1", "x"),
    ],
)
def test_an_entry_allows_nothing_else(entry: str, address: str, host: str) -> None:
    assert Guard([entry]).refusal(address, host=host, scheme="http") is not None


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "300.1.1.1",
        "127.1",
        "*.example.com",
        "https://example.com",
        "example.com:443",
        "example.com/path",
        "a b",
        "-a.example",
        "a..b",
        "x" * 64 + ".example",
    ],
)
def test_a_wrong_entry_is_named(entry: str) -> None:
    with pytest.raises(Invalid) as wrong:
        Guard(["ok.example", entry])
    assert repr(entry) in wrong.value.message


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_can_be_allowed_alone(address: str) -> None:
    guard = Guard(allow_loopback=True)
    assert guard.refusal(address, host="x", scheme="http") is None
    assert guard.refusal(address, host="x", scheme="https") is None
    assert guard.refusal("10.0.0.1", host="x", scheme="https") is not None


def resolving(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> list[str]:
        if not addresses:
            raise OSError("unknown")
        return list(addresses)

    return resolve


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("https://hooks.example/", ["93.184.215.14"]),
        ("https://hooks.example/", []),
        ("https://hooks.example/", ["10.0.0.1", "93.184.215.14"]),
        ("https://hooks.example/", ["192.168.7.7"]),
        ("http://hooks.example/", ["192.168.7.7", "192.168.7.8"]),
        ("http://named.example/", ["93.184.215.14"]),
        ("http://named.example/", []),
        ("https://NAMED.example./", ["10.0.0.1"]),
        ("http://192.168.7.7/", []),
    ],
)
async def test_a_url_that_may_be_called_can_be_registered(url: str, addresses: list[str]) -> None:
    guard = Guard(["192.168.7.0/24", "named.example"], resolve=resolving(*addresses))
    await guard.check_registration(url)


@pytest.mark.parametrize(
    ("url", "addresses", "says"),
    [
        ("https://hooks.example/", ["10.0.0.1"], "hooks.example is 10.0.0.1, which is a private"),
        ("https://hooks.example/", ["::1", "127.0.0.1"], "hooks.example is ::1, which is the loop"),
        ("http://hooks.example/", ["93.184.215.14"], "plain http needs an address named in"),
        ("http://hooks.example/", ["192.168.7.7", "1.1.1.1"], "plain http needs an address named"),
        ("http://hooks.example/", [], "hooks.example cannot be resolved, and plain http needs"),
        ("https://10.0.0.1/", [], "10.0.0.1 is a private address (10.0.0.0/8)"),
    ],
)
async def test_a_url_that_may_not_be_called_cannot_be_registered(
    url: str, addresses: list[str], says: str
) -> None:
    guard = Guard(["192.168.7.0/24"], resolve=resolving(*addresses))
    with pytest.raises(Invalid) as wrong:
        await guard.check_registration(url)
    assert wrong.value.message.startswith(says)
    assert wrong.value.field == "url"


async def test_the_systems_resolver_is_asked_by_default() -> None:
    with pytest.raises(Invalid, match=r"^localhost is (127\.0\.0\.1|::1), which is"):
        await Guard().check_registration("https://localhost/")
    await Guard(allow_loopback=True).check_registration("http://localhost:8080/")
