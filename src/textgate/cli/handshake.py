"""A TLS handshake with ourselves, in memory: what a client would say to our certificate."""

import ssl
from dataclasses import dataclass

from textgate.config import Settings


@dataclass(frozen=True, slots=True)
class Examined:
    """Why a client would refuse the certificate (or nothing), and when it ends."""

    refusal: str = ""
    ends_s: float = 0.0
    """Unix time, in seconds."""


def examine(settings: Settings, host: str | None) -> Examined:
    """Shake hands with the configured certificate; with ``host``, its names are compared too.

    The certificate itself is the only trusted one, so who signed it is not judged.
    """
    assert settings.tls_cert is not None
    trusting = ssl.create_default_context(cafile=settings.tls_cert)
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trusting.check_hostname = host is not None
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(settings.tls_cert, settings.tls_key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(back, there, server_hostname=host)
    server = serving.wrap_bio(there, back, server_side=True)
    try:
        for side in (client, server, client):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLCertVerificationError as refused:
        return Examined(refused.verify_message)
    ends = (client.getpeercert() or {})["notAfter"]
    return Examined(ends_s=ssl.cert_time_to_seconds(str(ends)))
