// What a script finds around it, and how that is kept as it is.

// deno-lint-ignore-file no-explicit-any
import { apply, defineProperty, deleteProperty, getOwnPropertyDescriptor } from "./builtins.ts";
import { getPrototypeOf, NativeTypeError, ownKeys, preventExtensions } from "./builtins.ts";
import { table, toText } from "./builtins.ts";

/**
 * The globals that stay. Everything else goes, also what a newer Deno may bring: `Deno`, `process`,
 * `Buffer` and `Worker` reach the pipes; `localStorage` and `caches` are shared between programs;
 * `WebSocket`, `EventSource` and the like are other ways out than `fetch`.
 */
const KEPT = `
  globalThis self undefined NaN Infinity eval isFinite isNaN parseFloat parseInt
  decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape
  Object Function Boolean Symbol Number BigInt Math Date Temporal String RegExp Intl
  Error AggregateError EvalError RangeError ReferenceError SuppressedError SyntaxError TypeError
  URIError DOMException QuotaExceededError
  Array ArrayBuffer DataView Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array
  Int32Array Uint32Array BigInt64Array BigUint64Array Float16Array Float32Array Float64Array
  Map Set WeakMap WeakSet WeakRef FinalizationRegistry Iterator JSON Promise Proxy Reflect
  DisposableStack AsyncDisposableStack WebAssembly
  AbortController AbortSignal Event EventTarget CustomEvent ErrorEvent ProgressEvent
  PromiseRejectionEvent
  Headers Request Response FormData Blob File FileReader URL URLPattern URLSearchParams
  TextEncoder TextDecoder TextEncoderStream TextDecoderStream
  ReadableStream ReadableStreamDefaultReader ReadableStreamBYOBReader ReadableStreamBYOBRequest
  ReadableByteStreamController ReadableStreamDefaultController
  WritableStream WritableStreamDefaultWriter WritableStreamDefaultController
  TransformStream TransformStreamDefaultController
  ByteLengthQueuingStrategy CountQueuingStrategy CompressionStream DecompressionStream
  crypto Crypto CryptoKey SubtleCrypto
  performance Performance PerformanceEntry PerformanceMark PerformanceMeasure
  atob btoa structuredClone queueMicrotask
`.split(/\s+/);

/** Remove every global that is not kept, and put ours in. */
export function furnish(ours: Record<string, unknown>): void {
  const kept = new Set(KEPT);
  for (const name of ownKeys(globalThis)) {
    // Symbols are Deno's own marks on the global object, by which it is an event target.
    if (typeof name === "string" && !kept.has(name) && !deleteProperty(globalThis, name)) {
      throw new Error(`the global ${name} cannot be removed`);
    }
  }
  for (const name in ours) {
    defineProperty(globalThis, name, {
      value: ours[name],
      writable: true,
      enumerable: false,
      configurable: true,
    });
  }
}

/** Every object that the language and Deno bring along, found by walking from the globals. */
export function intrinsics(): object[] {
  const found = new Set<object>();
  const visit = (thing: any) => {
    if (Object(thing) !== thing || thing === globalThis || found.has(thing)) return;
    found.add(thing);
    visit(getPrototypeOf(thing));
    for (const key of ownKeys(thing)) {
      const property = getOwnPropertyDescriptor(thing, key)!;
      visit(property.value);
      visit(property.get);
      visit(property.set);
    }
  };
  // By name only: under symbols Deno keeps what changes while it runs.
  for (const name of Object.getOwnPropertyNames(globalThis)) visit((globalThis as any)[name]);
  // These have no global name.
  for (const syntax of [async () => {}, function* () {}, async function* () {}]) visit(syntax);
  for (const empty of [[], new Map(), new Set()]) visit((empty as any)[Symbol.iterator]());
  visit(""[Symbol.iterator]());
  visit("".matchAll(/x/g));
  visit((async function* () {})());
  visit((function* () {})());
  return [...found];
}

/** Make what an object has unchangeable; more may still be added. */
export function lock(object: object): void {
  const keys = ownKeys(object);
  for (let at = 0; at < keys.length; at++) lockProperty(object, keys[at]);
}

/**
 * Close what a script found around it. One call of a script must not change what the next ones work
 * with, as it could by `Object.prototype.isAdmin = true`; top-level code, which ran before, might.
 *
 * What is not ours to close: globals that the script made itself, and the switches of `Error`.
 */
export function close(things: object[]): void {
  for (let at = 0; at < things.length; at++) {
    const thing = things[at];
    if (thing === Error) continue;
    const keys = ownKeys(thing);
    const isPlain = !strict(thing);
    for (let n = 0; n < keys.length; n++) {
      if (isPlain) soften(thing, keys[n]);
      else lockProperty(thing, keys[n]);
    }
    preventExtensions(thing);
  }
  const names = ownKeys(furniture);
  for (let at = 0; at < names.length; at++) lockProperty(globalThis, names[at]);
}

/** The names of the globals that are closed in the end. */
const furniture = table<true>();

/** Remember which globals were there before the script. */
export function takeStock(): void {
  for (const name of ownKeys(globalThis)) furniture[name] = true;
}

function lockProperty(object: object, key: PropertyKey): void {
  const property = getOwnPropertyDescriptor(object, key);
  if (property === undefined || !property.configurable) return;
  const locked = table<unknown>();
  locked.configurable = false;
  if (isData(property)) locked.writable = false;
  defineProperty(object, key, locked as PropertyDescriptor);
}

/**
 * Whether a property is a value and no accessor. Asked so that no prototype can answer: of a value,
 * `writable` is the property's own.
 */
function isData(property: PropertyDescriptor): boolean {
  return getOwnPropertyDescriptor(property, "writable") !== undefined;
}

/**
 * Lock a property of a prototype, but let what inherits from it have its own: to a property that is
 * only read-only, `error.name = "Mine"` would throw for every error.
 */
function soften(prototype: object, key: PropertyKey): void {
  const property = getOwnPropertyDescriptor(prototype, key);
  if (property === undefined || !property.configurable) return;
  if (!isData(property)) return lockProperty(prototype, key);
  const value = property.value, enumerable = property.enumerable;
  const accessor = table<unknown>();
  accessor.configurable = false;
  accessor.enumerable = enumerable;
  accessor.get = function () {
    return value;
  };
  accessor.set = function (this: object, mine: unknown) {
    if (this === prototype) {
      throw new NativeTypeError(`${toText(key)} belongs to all calls and cannot be changed`);
    }
    const own = table<unknown>();
    own.value = mine;
    own.writable = own.enumerable = own.configurable = true;
    defineProperty(this, key, own as PropertyDescriptor);
  };
  defineProperty(prototype, key, accessor as PropertyDescriptor);
}

/** Objects that nothing of a script's own inherits from, or that V8 is only fast with as they are. */
function strict(thing: object): boolean {
  if (typeof thing === "function" && thing !== Function.prototype) return true;
  for (let at = 0; at < STRICT.length; at++) if (STRICT[at] === thing) return true;
  return !apply(hasOwn, thing, ["constructor"]);
}

const hasOwn = Object.prototype.hasOwnProperty;
const STRICT: object[] = [
  Array.prototype,
  Promise.prototype,
  RegExp.prototype,
  String.prototype,
  getPrototypeOf(Uint8Array.prototype)!,
  Uint8Array.prototype,
];
