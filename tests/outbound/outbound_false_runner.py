"""A runner that has gone over to the enemy: it knows the secret, and says what it is told to.

Run in place of Deno. The source of the script is a list, in JSON, of what it says to each call:
heads of frames, or one of the tricks below. ``"id"`` in a head is the call's, if it says "own".
"""

import json
import struct
import sys
from typing import Any


def hear() -> tuple[dict[str, Any], bytes]:
    length = sys.stdin.buffer.read(4)
    if len(length) < 4:
        sys.exit()
    frame = sys.stdin.buffer.read(struct.unpack(">I", length)[0])
    (head,) = struct.unpack(">I", frame[:4])
    return json.loads(frame[4 : 4 + head]), frame[4 + head :]


def say(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def frame(secret: str, head: bytes, body: bytes = b"") -> bytes:
    rest = secret.encode() + struct.pack(">I", len(head)) + head + body
    return struct.pack(">I", len(rest)) + rest


def act(secret: str, call: int, words: Any) -> None:
    if isinstance(words, dict):
        body = str(words.pop("body", "")).encode()
        if words.get("id") == "own":
            words["id"] = call
        say(frame(secret, json.dumps(words).encode(), body))
        return
    trick, *rest = words
    if trick == "raw":
        say(bytes.fromhex(rest[0]))
    elif trick == "secret":  # another one
        say(frame(rest[0], json.dumps({"t": "nothing", "id": call}).encode()))
    elif trick == "json":
        say(frame(secret, rest[0].encode()))
    elif trick == "again":
        for _ in range(rest[0]):
            act(secret, call, dict(rest[1]))
    elif trick == "slowly":  # a good frame, byte by byte
        for byte in frame(secret, json.dumps({"t": "value", "id": call}).encode(), b'"slow"'):
            say(bytes([byte]))
    elif trick == "hear":
        head, body = hear()
        text = json.dumps([head, body.decode("latin-1")]).encode()
        say(frame(secret, json.dumps({"t": "value", "id": call}).encode(), text))
    elif trick == "exit":
        sys.exit(rest[0])


def main() -> None:
    head, source = hear()
    secret, words = head["secret"], json.loads(source)
    say(frame(secret, b'{"t":"ready"}'))
    while True:
        head, _ = hear()
        if head["t"] == "call":
            for each in words:
                act(secret, head["id"], each)
        elif head["t"] == "ping":
            say(frame(secret, json.dumps({"t": "pong", "n": head["n"]}).encode()))


if __name__ == "__main__":
    main()
