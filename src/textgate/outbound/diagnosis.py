"""What libcurl's error codes mean to us."""

import os

import pycurl

from textgate.outbound.reply import FailureKind

_KINDS = {
    pycurl.E_COULDNT_RESOLVE_HOST: FailureKind.RESOLVE,
    pycurl.E_COULDNT_CONNECT: FailureKind.CONNECT,
    pycurl.E_OPERATION_TIMEDOUT: FailureKind.TIMEOUT,
    pycurl.E_SSL_CONNECT_ERROR: FailureKind.TLS,
    pycurl.E_PEER_FAILED_VERIFICATION: FailureKind.TLS,
    pycurl.E_SSL_CERTPROBLEM: FailureKind.TLS,
    pycurl.E_SSL_CIPHER: FailureKind.TLS,
    pycurl.E_SSL_CACERT_BADFILE: FailureKind.TLS,
    pycurl.E_SSL_ISSUER_ERROR: FailureKind.TLS,
    pycurl.E_SSL_INVALIDCERTSTATUS: FailureKind.TLS,
}
_BROKEN = {
    pycurl.E_ABORTED_BY_CALLBACK: "closed the connection without an answer",
    pycurl.E_GOT_NOTHING: "closed the connection without an answer",
    pycurl.E_PARTIAL_FILE: "broke off in the middle of the answer",
    pycurl.E_UNSUPPORTED_PROTOCOL: "did not answer in HTTP",
    pycurl.E_BAD_CONTENT_ENCODING: "sent an answer that cannot be decompressed",
}


def kind_of(code: int) -> FailureKind:
    """The kind of failure that libcurl's ``code`` is."""
    return _KINDS.get(code, FailureKind.BROKEN)


def sentence(
    kind: FailureKind, code: int, said: str, errno: int, place: str, timeout: float, sent: bool
) -> str:
    """Say for people what went wrong. Of libcurl's own words only those about TLS are used: the
    others may hold the URL, and with it a secret."""
    if kind is FailureKind.RESOLVE:
        return f"{place.rpartition(':')[0]} cannot be resolved"
    if kind is FailureKind.CONNECT:
        return f"{place} cannot be reached" + (f": {os.strerror(errno)}" if errno else "")
    if kind is FailureKind.TLS:
        return f"TLS with {place} failed: {said[:200] or pycurl.easy_strerror(code)}"
    if kind is FailureKind.TIMEOUT:
        return f"{place} {'did not answer' if sent else 'was not reached'} within {timeout:g} s"
    return f"{place} {_BROKEN.get(code, f'broke the connection ({pycurl.easy_strerror(code)})')}"
