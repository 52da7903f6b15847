"""Which modules a script can import: those stored with it, and nothing of Deno's own."""

import base64
import json
import mmap
import re
from collections.abc import Iterable
from pathlib import Path

from textgate.domain.script import Program

_NODE = """
    _http_agent _http_client _http_common _http_incoming _http_outgoing _http_server _stream_duplex
    _stream_passthrough _stream_readable _stream_transform _stream_wrap _stream_writable _tls_common
    _tls_wrap assert assert/strict async_hooks buffer child_process cluster console constants crypto
    dgram diagnostics_channel dns dns/promises domain events ffi fs fs/promises http http2 https
    inspector inspector/promises module net os path path/posix path/win32 perf_hooks process
    punycode querystring quic readline readline/promises repl sea sqlite stream stream/consumers
    stream/promises stream/web string_decoder sys test test/reporters test/mock timers
    timers/promises tls trace_events tty url util util/types v8 vm wasi worker_threads zlib
"""
"""What Node.js has built in. The runner does not start if its Deno knows another one."""

REFUSED = "not-offered:"
"""An address that leads nowhere, before the name of what cannot be imported. A module that throws
would not do in its place: Deno puts some of its own there all the same, once that is loaded."""

# Deno refuses to import its internals, but not those that happen to be loaded already, and through
# some of them the pipes can be reached. An import map has no pattern that covers all `ext:` names,
# so each is closed off by name; and which there are only the program itself can tell.
_INTERNAL = re.compile(
    rb"ext:\w+/[\w./-]*?\.(?:[cm]?js|ts)|ext:\w+/\w+|node:[a-z]\w*(?:/\w+)*|node:_\w+"
)


def internal_modules(deno: Path) -> frozenset[str]:
    """Return the names of built-in modules that Deno's program holds. Reads 100 MB."""
    names = set()
    with deno.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program:
        for scheme in (b"ext:", b"node:"):
            # Looking for the fixed part alone is much faster than letting the pattern look.
            at = program.find(scheme)
            while at >= 0:
                if found := _INTERNAL.match(program, at):
                    names.add(found[0].decode("ascii"))
                at = program.find(scheme, at + len(scheme))
    return frozenset(names)


def import_map(program: Program, *, internal: Iterable[str], runner: Path) -> bytes:
    """Return the import map (JSON) of a program; ``runner`` is the folder of the runner's files."""
    node = [f"node:{name}" for name in _NODE.split()]
    imports = {name: REFUSED + name for name in (*node, *internal)}
    imports |= {
        url: _data(module.media_type, module.code.encode())
        for url, module in program.modules.items()
    }
    # The runner's files may import each other, and nobody else may import them. The one that Deno
    # is started with has no exports.
    files = [file.as_uri() for file in runner.glob("*.ts") if file.name != "runner.ts"]
    imports |= dict.fromkeys(files, REFUSED + "textgate")
    own = {file: file for file in files}
    return json.dumps({"imports": imports, "scopes": {f"{runner.as_uri()}/": own}}).encode()


def _data(media_type: str, code: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(code).decode('ascii')}"
