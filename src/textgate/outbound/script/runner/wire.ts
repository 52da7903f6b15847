// Frames: how the runner and the host speak.
//
//     4 bytes, big-endian: how many follow
//     from the runner alone: the secret of this process, 32 bytes
//     4 bytes, big-endian: how long the head is
//     the head: JSON; `t` says what it is
//     the body: what is left
//
// Heads are put together from quoted strings and numbers: to `stringify` an object would ask it,
// and with it every prototype, for a `toJSON`.

import { Bytes, copyInto, encode, lengthOf, stringify, wellFormed } from "./builtins.ts";

export const SECRET_LENGTH = 32;

/** A string in JSON. Half of a surrogate pair has no place in UTF-8 and becomes U+FFFD. */
export function quote(text: string): string {
  return stringify(wellFormed(text));
}

export function readLength(bytes: Uint8Array, at: number): number {
  return bytes[at] * 0x1000000 + bytes[at + 1] * 0x10000 + bytes[at + 2] * 0x100 + bytes[at + 3];
}

function writeLength(bytes: Uint8Array, at: number, length: number): void {
  bytes[at] = length >>> 24; // a byte array keeps the lowest eight bits
  bytes[at + 1] = length >>> 16;
  bytes[at + 2] = length >>> 8;
  bytes[at + 3] = length;
}

/** Make a frame. `secret` is bytes, `head` is JSON. */
export function frame(secret: Uint8Array, head: string, body: Uint8Array | null): Uint8Array {
  const headBytes = encode(head);
  const headLength = lengthOf(headBytes), bodyLength = body === null ? 0 : lengthOf(body);
  const start = 4 + SECRET_LENGTH + 4;
  const whole = new Bytes(start + headLength + bodyLength);
  writeLength(whole, 0, start - 4 + headLength + bodyLength);
  copyInto(whole, secret, 4);
  writeLength(whole, 4 + SECRET_LENGTH, headLength);
  copyInto(whole, headBytes, start);
  if (body !== null) copyInto(whole, body, start + headLength);
  return whole;
}
