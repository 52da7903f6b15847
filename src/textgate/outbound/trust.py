"""Which authorities are believed when they say who a far side is."""

import os
import re
import ssl
from pathlib import Path

import certifi

from textgate.domain.errors import Invalid

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


class Trust:
    """The system's authorities, certifi's and those of ``ca_file``, as one file in memory.

    A file and no blob, because libcurl keeps only what it parsed from a file, for a day, and
    parsing takes some 20 ms. In memory, so that nobody tidies it away before the day is over.
    Invalid if ``ca_file`` cannot be read or holds no certificate.
    """

    def __init__(self, ca_file: Path | None) -> None:
        found: dict[bytes, None] = {}  # in order, each once
        system = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
        for path in filter(None, (system, certifi.where())):
            if Path(path).is_file():
                found.update(dict.fromkeys(_certificates(Path(path))))
        if ca_file is not None:
            found.update(dict.fromkeys(_own(ca_file)))
        self._file = os.memfd_create("textgate-authorities")
        with open(self._file, "wb", closefd=False) as bundle:
            bundle.write(b"\n".join(found))
        self.path = f"/proc/{os.getpid()}/fd/{self._file}"

    def close(self) -> None:
        """Forget them."""
        os.close(self._file)


def _certificates(path: Path) -> list[bytes]:
    return _CERTIFICATE.findall(path.read_bytes())


def _own(path: Path) -> list[bytes]:
    try:
        certificates = _certificates(path)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from None
    if not certificates:
        raise Invalid(f"{path} holds no certificate in PEM form")
    return certificates
