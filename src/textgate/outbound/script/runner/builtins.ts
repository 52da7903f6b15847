// The built-ins that the runner works with, taken before any code of a script has run.
//
// A script shares this realm, and when its module is loaded it may replace whatever it can reach:
// `JSON.stringify`, `Map.prototype.get`, `Object.prototype.then`. So the runner never looks a method
// up on an object. It calls the functions kept here, it keeps its tables in objects without a
// prototype, it reads arrays and bytes by index, and it uses no `for…of`, no spread and no
// destructuring of arrays, all of which would ask `Array.prototype` for an iterator.
//
// Nothing here is a capability, and none of it can be changed.

// deno-lint-ignore-file no-explicit-any
type Method = (this: any, ...args: any[]) => any;

export const { apply, defineProperty, deleteProperty, getOwnPropertyDescriptor, getPrototypeOf } =
  Reflect;
export const { ownKeys, preventExtensions } = Reflect;
export const freeze = Object.freeze;

/** A method as a function whose first argument is `this`. */
function method(prototype: object, name: PropertyKey): (self: any, ...args: any[]) => any {
  const found = (prototype as any)[name] as Method;
  return (self, ...args) => apply(found, self, args);
}

/** The reading half of an accessor, as a function. */
function getter(prototype: object, name: PropertyKey): (self: any) => any {
  const found = getOwnPropertyDescriptor(prototype, name)!.get as Method;
  return (self) => apply(found, self, []);
}

// Primitives and JSON.
export const { parse, stringify } = JSON;
export const toText = String;
export const slice = method(String.prototype, "slice") as (
  text: string,
  a: number,
  b: number,
) => string;
export const wellFormed = method(String.prototype as any, "toWellFormed") as (
  text: string,
) => string;

// Bytes. `length` is an accessor of the prototype, so even it may be a stranger's.
const typedArray = getPrototypeOf(Uint8Array.prototype)!;
export const Bytes = Uint8Array;
export const lengthOf = getter(typedArray, "length") as (bytes: Uint8Array) => number;
export const copyInto = method(typedArray, "set") as (
  to: Uint8Array,
  from: Uint8Array,
  at: number,
) => void;
/** It makes its result with the constructor that it finds: runner.ts locks that, as it locks `then`. */
export const part = method(typedArray, "slice") as (
  bytes: Uint8Array<ArrayBuffer>,
  from: number,
  to: number,
) => Uint8Array<ArrayBuffer>;
const encoder = new TextEncoder(), decoder = new TextDecoder();
const encodeText = method(TextEncoder.prototype, "encode");
const decodeBytes = method(TextDecoder.prototype, "decode");
export const encode = (text: string): Uint8Array<ArrayBuffer> => encodeText(encoder, text);
export const decode = (bytes: Uint8Array): string => decodeBytes(decoder, bytes);

// Promises. runner.ts locks what an `await` asks of them before a script runs.
export const NativePromise = Promise;
export const then = method(Promise.prototype, "then") as <T>(
  promise: Promise<T>,
  done: (value: T) => void,
  failed: (problem: unknown) => void,
) => Promise<void>;

// What fetch is made of.
export const NativeRequest = Request, NativeResponse = Response, NativeHeaders = Headers;
export const NativeTypeError = TypeError, NativeStream = ReadableStream;
/** Let a stack begin where `above` was called. */
export const traceFrom = (Error as any).captureStackTrace as (
  error: Error,
  above: (...given: any[]) => unknown,
) => void;
export const requestMethod = getter(Request.prototype, "method") as (request: Request) => string;
export const requestUrl = getter(Request.prototype, "url") as (request: Request) => string;
export const requestHeaders = getter(Request.prototype, "headers") as (request: Request) => Headers;
export const requestRedirect = getter(Request.prototype, "redirect") as (
  request: Request,
) => string;
export const requestSignal = getter(Request.prototype, "signal") as (
  request: Request,
) => AbortSignal;
export const requestBytes = method(Request.prototype, "arrayBuffer") as (
  request: Request,
) => Promise<ArrayBuffer>;
export const eachHeader = method(Headers.prototype, "forEach") as (
  headers: Headers,
  visit: (value: string, name: string) => void,
) => void;
export const appendHeader = method(Headers.prototype, "append") as (
  headers: Headers,
  name: string,
  value: string,
) => void;
export const cloneResponse = method(Response.prototype, "clone") as (
  response: Response,
) => Response;
export const isAborted = getter(AbortSignal.prototype, "aborted") as (
  signal: AbortSignal,
) => boolean;
export const abortReason = getter(AbortSignal.prototype, "reason") as (
  signal: AbortSignal,
) => unknown;
export const failStream = method(ReadableStreamDefaultController.prototype, "error") as (
  controller: ReadableStreamDefaultController,
  problem: unknown,
) => void;
export const listen = method(EventTarget.prototype, "addEventListener") as (
  target: EventTarget,
  name: string,
  heard: (event: any) => void,
) => void;
export const preventDefault = method(Event.prototype, "preventDefault") as (event: Event) => void;
export const errorOf = getter(ErrorEvent.prototype, "error") as (event: ErrorEvent) => unknown;
export const reasonOf = getter(PromiseRejectionEvent.prototype, "reason") as (
  event: PromiseRejectionEvent,
) => unknown;

// Memory and time. `clearTimeout` also ends intervals.
export const NativeBlob = Blob, createAddress = URL.createObjectURL;
export const startTimer = setTimeout, startInterval = setInterval, stopTimer = clearTimeout;
export const microtask = queueMicrotask;
export const now: () => number = performance.now.bind(performance);

/** An empty table: no name in it comes from a prototype. */
export function table<T>(): Record<PropertyKey, T> {
  return { __proto__: null } as unknown as Record<PropertyKey, T>;
}

/** A property that is only `value`; a plain literal would take `get` from a changed prototype. */
export function only(value: unknown): PropertyDescriptor {
  return { __proto__: null, value, writable: true, enumerable: false, configurable: true } as any;
}
