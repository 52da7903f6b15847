"""Which IP addresses belong to everybody, and what the others are called.

Source: the IANA special-purpose address registries (RFC 6890 and its updates), and the documented
metadata addresses of the clouds. Of IPv6 only 2000::/3 is handed out for public use, so everything
outside it is refused, named or not.
"""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAMES = (
    # The first match names the address, so the narrow ones lead.
    ("169.254.169.254/32", "a cloud metadata address"),
    ("169.254.170.2/32", "a cloud metadata address"),
    ("100.100.100.200/32", "a cloud metadata address"),
    ("168.63.129.16/32", "a cloud metadata address"),
    ("255.255.255.255/32", "the broadcast address"),
    ("0.0.0.0/8", "an unspecified address"),
    ("10.0.0.0/8", "a private address"),
    ("100.64.0.0/10", "a shared carrier address"),
    ("127.0.0.0/8", "a loopback address"),
    ("169.254.0.0/16", "a link-local address"),
    ("172.16.0.0/12", "a private address"),
    ("192.0.0.0/24", "a protocol address"),
    ("192.0.2.0/24", "a documentation address"),
    ("192.88.99.0/24", "a 6to4 relay address"),
    ("192.168.0.0/16", "a private address"),
    ("198.18.0.0/15", "a benchmarking address"),
    ("198.51.100.0/24", "a documentation address"),
    ("203.0.113.0/24", "a documentation address"),
    ("224.0.0.0/4", "a multicast address"),
    ("240.0.0.0/4", "a reserved address"),
    ("fd00:ec2::254/128", "a cloud metadata address"),
    ("fd20:ce::254/128", "a cloud metadata address"),
    ("::/128", "the unspecified address"),
    ("::1/128", "the loopback address"),
    ("::/96", "an IPv4-compatible address"),
    ("::ffff:0:0:0/96", "an IPv4-translated address"),
    ("64:ff9b:1::/48", "a local NAT64 address"),
    ("100::/64", "a discard address"),
    ("2001::/32", "a Teredo address"),
    ("2001::/23", "a protocol address"),
    ("2001:db8::/32", "a documentation address"),
    ("2002::/16", "a 6to4 address"),
    ("3fff::/20", "a documentation address"),
    ("fc00::/7", "a private address"),
    ("fe80::/10", "a link-local address"),
    ("fec0::/10", "a site-local address"),
    ("ff00::/8", "a multicast address"),
)
_REFUSED: tuple[tuple[Network, str], ...] = tuple((ip_network(n), what) for n, what in _NAMES)
_GLOBAL = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_LOOPBACK = IPv4Network("127.0.0.0/8")


def parse_address(text: str) -> Address:
    """Read an address as resolvers write it, with or without a zone; else ValueError."""
    return ip_address(text.partition("%")[0])


def effective(address: Address) -> Address:
    """Return whom the kernel would call: a mapped address is the IPv4 address in it."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_loopback(address: Address) -> bool:
    """Whether the address is this machine's own, in either family or mapped."""
    address = effective(address)
    return address in _LOOPBACK if isinstance(address, IPv4Address) else address.is_loopback


def special_use(address: Address) -> str | None:
    """Return what makes the address no public one, with its range; None if it is public."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return _embedded("IPv4-mapped", address.ipv4_mapped)
        if address in _NAT64:
            # RFC 6052 §3.1: this prefix must not carry addresses that are not public.
            return _embedded("NAT64", IPv4Address(int(address) & 0xFFFFFFFF))
    for network, what in _REFUSED:
        if address in network:
            return f"{what} ({network})"
    if isinstance(address, IPv6Address) and address not in _GLOBAL:
        return f"no public address (outside {_GLOBAL})"
    return None


def _embedded(form: str, inner: IPv4Address) -> str | None:
    what = special_use(inner)
    return what and f"the {form} form of {inner}, {what}"


def numeric_host(host: str) -> IPv4Address | None:
    """Read a host as `inet_aton` would: ``127.1``, ``0x7f000001``, ``017700000001``.

    None: it is a name. ValueError: it ends like a number but is none, and must not reach a
    resolver, because each reads it differently.
    """
    parts = host.split(".")
    last = parts[-1]
    if not (last.isdigit() or last[:2] == "0x"):
        return None
    if len(parts) > 4:
        raise ValueError(host)
    *heads, tail = (_number(part) for part in parts)
    if any(head > 255 for head in heads) or tail >= 256 ** (4 - len(heads)):
        raise ValueError(host)
    for place, head in enumerate(heads):
        tail += head << (8 * (3 - place))
    return IPv4Address(tail)


def _number(part: str) -> int:
    if part[:2] == "0x":
        return int(part, 16) if part != "0x" else 0
    return int(part, 8) if len(part) > 1 and part[0] == "0" else int(part)
