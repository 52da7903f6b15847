// Runs one script for the host. The host and this file are all there is between a stranger's code
// and the pipes, so each line here assumes that the code means harm.
//
// In order: take what is needed (the pipes among it), empty the realm, say "ready", and only then
// load the script. What must not be reached stays in this module, which exports nothing.
//
// The script cannot be kept from hanging, exhausting or ending its own process, nor from lying
// about its own result. The host contains that: it trusts nothing that comes from here.

// deno-lint-ignore-file no-explicit-any
import * as own from "./builtins.ts";
import { apply, freeze, parse, slice, table, then } from "./builtins.ts";
import { makeConsole, show } from "./console.ts";
import { about, makeFetch, type Pending, respond } from "./fetch.ts";
import * as realm from "./realm.ts";
import { makeTimers } from "./timers.ts";
import { frame, quote, readLength, SECRET_LENGTH } from "./wire.ts";

// --- what is taken before the realm is emptied ---

const { process } = globalThis as any;
const { read: readFd, writeSync: writeFd } = process.getBuiltinModule("node:fs");
const { AsyncLocalStorage } = process.getBuiltinModule("node:async_hooks");
const builtinModules: string[] = process.getBuiltinModule("node:module").builtinModules;
const exit: (code: number) => never = process.reallyExit; // without the events that a script could hear
const inspectThing = Deno.inspect;
const inspectOptions = freeze({ __proto__: null, depth: 4, strAbbreviateSize: 10_000 } as any);
const inspect = (thing: unknown): string => inspectThing(thing, inspectOptions);

// Streams of Deno's are numbers in a table, and a script can make a stream of its own out of any
// number (`Symbol([[resourceBacking]])`). The pipes are therefore not in that table: they are read
// and written by file descriptor, which only `node:fs` can do.
Deno.stdin.close();
Deno.stdout.close();
Deno.stderr.close();

// --- what a call is ---

interface Call {
  id: number;
  /** Until its result is sent: then nothing of it has an effect any more. */
  open: boolean;
  timers: Record<number, any>;
  fetches: Record<number, Pending>;
  lines: number;
  characters: number;
  /** How often the host was told that its code runs. */
  entered: number;
}

const MOST_LINES = 500;
const MOST_CHARACTERS = 65_536; // of all lines of a call
const MOST_TEXT = 8_192; // characters of a message or a stack
const MOST_VALUE = 1_048_576; // bytes of a result

const MOST_ENTERED = 1_000; // of a call: a chain of timers could keep the host busy with it

const calls = table<Call>();
let open = 0; // how many there are
let entered = 0; // the one that the host believes to be running

// Which call runs is told by Deno's async context, so concurrent ones are never mixed up.
const context = new AsyncLocalStorage();
const { run: runIn, getStore } = AsyncLocalStorage.prototype;

/** The call whose code runs now, if it is not over. */
function current(): Call | undefined {
  const call: Call | undefined = apply(getStore, context, []);
  return call !== undefined && call.open ? call : undefined;
}

// --- out ---

let secret = new own.Bytes(SECRET_LENGTH); // the host's first frame brings it
const waiting = table<Uint8Array>();
let firstWaiting = 0, nextWaiting = 0, flushing = false;

/** Send a frame at the end of this turn, with all others of it. `head` is JSON. */
function send(head: string, body: Uint8Array | null = null): void {
  waiting[nextWaiting] = frame(secret, head, body);
  nextWaiting++;
  if (flushing) return;
  flushing = true;
  own.microtask(flush);
}

/** Send what waits now. */
function flush(): void {
  flushing = false;
  while (firstWaiting < nextWaiting) {
    const bytes = waiting[firstWaiting], length = own.lengthOf(bytes);
    let written = 0;
    while (written < length) written += writeFd(1, bytes, written, length - written, null);
    delete waiting[firstWaiting];
    firstWaiting++;
  }
}

/**
 * Tell the host, at once, whose code runs next: if that hangs, its neighbours can be told from it.
 * What runs after an `await` counts as part of what came before.
 */
function enter(call: Call): void {
  if (open > 1 && call.entered === MOST_ENTERED) return;
  const isKnown = open < 2 || entered === call.id; // who is alone needs not be told of
  entered = call.id;
  if (isKnown) return;
  call.entered++;
  send(`{"t":"at","id":${call.id}}`);
  flush();
}

/** The call whose output this is, if there is room for more of it. */
function printing(): Call | undefined {
  const call = current();
  return call !== undefined && call.lines <= MOST_LINES ? call : undefined;
}

function print(level: string, text: string): void {
  const call = printing();
  if (call === undefined) return;
  call.lines++;
  call.characters += text.length;
  if (call.lines > MOST_LINES || call.characters > MOST_CHARACTERS) {
    call.lines = MOST_LINES + 1;
    send(`{"t":"cut","id":${call.id}}`);
  } else {
    send(`{"t":"console","id":${call.id},"level":"${level}","text":${quote(text)}}`);
  }
  flush(); // at once: the next statement may be the endless loop that one is looking for
}

/** Tell of an error that nobody caught. */
function printUncaught(where: string, problem: unknown): void {
  if (printing() !== undefined) print("error", `Uncaught${where}: ${show(problem, inspect)}`);
}

/**
 * What a thrown thing says of itself, as members of a frame's head. Reading it can run the script's
 * code, which can throw.
 */
function describe(thrown: any): string {
  let message = "", stack = "";
  try {
    if (thrown !== null && (typeof thrown === "object" || typeof thrown === "function")) {
      const said = thrown.message, name = thrown.name, trace = thrown.stack;
      const kind = typeof name === "string" && name !== "Error" ? name : "";
      if (typeof said === "string" && said) message = kind ? `${kind}: ${said}` : said;
      else message = kind || show(thrown, inspect);
      if (typeof trace === "string") stack = trace;
    } else {
      message = own.toText(thrown);
    }
  } catch {
    message ||= "something was thrown that cannot be shown";
  }
  const text = quote(slice(message, 0, MOST_TEXT));
  return `"message":${text},"stack":${quote(slice(stack, 0, MOST_TEXT))}`;
}

// --- calls ---

let source = ""; // the host's first frame brings it
let loading: Promise<(payload: unknown, context: unknown) => unknown> | null = null;
const things: object[] = []; // what is closed when the script is loaded

/** Load the script, once: on behalf of the call that comes first. */
function loaded() {
  if (loading !== null) return loading;
  // From memory. Errors have the address of the blob and the lines and columns of the source.
  const address = own.createAddress(
    new own.NativeBlob([source], { type: "application/typescript" }),
  );
  source = "";
  loading = new own.NativePromise((resolve, reject) => {
    then(import(address), (module) => {
      realm.close(things);
      const entry = module.default;
      if (typeof entry === "function") resolve(entry);
      else reject(new own.NativeTypeError("the script has no default export that is a function"));
    }, reject);
  });
  return loading;
}

function begin(id: number, secrets: Record<string, string>, payload: string): void {
  const call = {
    __proto__: null,
    id,
    open: true,
    timers: table<any>(),
    fetches: table<Pending>(),
    lines: 0,
    characters: 0,
    entered: 0,
  } as Call;
  calls[id] = call;
  open++;
  apply(runIn, context, [call, () => start(call, secrets, payload)]);
}

function start(call: Call, secrets: Record<string, string>, payload: string): void {
  then(loaded(), (entry) => {
    enter(call);
    try {
      const result = entry(parse(payload), surroundings(secrets));
      // A promise, a thenable or a value.
      const settled = new own.NativePromise((resolve) => resolve(result));
      then(settled, (value) => finish(call, value), (thrown) => fail(call, "threw", thrown));
    } catch (thrown) {
      fail(call, "threw", thrown);
    }
  }, (thrown) => fail(call, "unloaded", thrown));
}

/** The second argument: `{secrets}`, frozen, and without names that come from a prototype. */
function surroundings(secrets: Record<string, string>): object {
  const copy = table<string>(), names = own.ownKeys(secrets);
  for (let at = 0; at < names.length; at++) copy[names[at]] = secrets[names[at] as string];
  return freeze({ __proto__: null, secrets: freeze(copy) });
}

function finish(call: Call, value: unknown): void {
  if (!call.open) return;
  let text: string | undefined;
  try {
    text = own.stringify(value);
  } catch (thrown) {
    return fail(call, "threw", thrown);
  }
  if (!call.open) return; // its `toJSON` may have taken long
  if (typeof text !== "string") {
    end(call);
    return send(`{"t":"nothing","id":${call.id}}`);
  }
  const bytes = own.encode(own.wellFormed(text));
  if (own.lengthOf(bytes) > MOST_VALUE) {
    return fail(call, "threw", new own.NativeTypeError("the script returned more than 1 MiB"));
  }
  end(call);
  send(`{"t":"value","id":${call.id}}`, bytes);
}

function fail(call: Call, what: "threw" | "unloaded", thrown: unknown): void {
  if (!call.open) return;
  const description = describe(thrown);
  end(call);
  send(`{"t":"${what}","id":${call.id},${description}}`);
}

/** Stop what a call has begun. What of it still comes in has nobody to go to. */
function end(call: Call): void {
  if (call.open) open--;
  call.open = false;
  delete calls[call.id];
  const timers = own.ownKeys(call.timers);
  for (let at = 0; at < timers.length; at++) own.stopTimer(call.timers[timers[at] as any]);
  call.timers = table<any>();
  call.fetches = table<Pending>();
}

// --- in ---

/** Do what the host says. */
function hear(head: any, body: Uint8Array<ArrayBuffer>): void {
  const call: Call | undefined = calls[head.id];
  if (head.t === "call") {
    begin(head.id, head.secrets, own.decode(body));
  } else if (head.t === "ping") {
    send(`{"t":"pong","n":${head.n}}`);
    flush();
  } else if (head.t === "load") {
    secret = own.encode(head.secret);
    source = own.decode(body);
    send(`{"t":"ready"}`);
  } else if (call === undefined) {
    return; // it has ended while the host was saying this
  } else if (head.t === "end") {
    end(call);
  } else if (head.fetch in call.fetches) {
    const pending = call.fetches[head.fetch];
    delete call.fetches[head.fetch];
    enter(call);
    if (head.t === "failed") pending.reject(about(pending.problem, head.message));
    else pending.resolve(respond(head, body, pending.problem));
  }
}

let held = new own.Bytes(65_536), used = 0;

/** Take the frames that are complete out of what was read, and make room for the next one. */
function take(): void {
  let at = 0;
  while (used - at >= 8) {
    const length = readLength(held, at);
    if (used - at - 4 < length) break;
    const start = at + 8, middle = start + readLength(held, at + 4);
    at += 4 + length;
    hear(parse(own.decode(own.part(held, start, middle))), own.part(held, middle, at));
  }
  const left = used - at, capacity = own.lengthOf(held);
  const needed = left >= 4 ? readLength(held, at) + 4 : 0;
  if (at || needed > capacity) {
    const next = new own.Bytes(needed > capacity ? needed : capacity);
    own.copyInto(next, own.part(held, at, used), 0);
    held = next;
    used = left;
  }
}

function listen(): void {
  const heard = (problem: unknown, count: number) => {
    if (problem !== null || !count) exit(0); // the host is gone
    used += count;
    take();
    listen();
  };
  readFd(0, held, used, own.lengthOf(held) - used, null, heard);
}

// --- begin ---

for (const name of builtinModules) {
  const specifier = name.startsWith("node:") ? name : `node:${name}`;
  if (!import.meta.resolve(specifier).startsWith("not-offered:")) {
    throw new Error(`this Deno has a built-in module that is not closed off: ${specifier}`);
  }
}

// An error that nobody catches ends a process of Deno's. Here it is one line of the call's output.
own.listen(globalThis, "error", (event) => {
  own.preventDefault(event);
  printUncaught("", own.errorOf(event));
});
own.listen(globalThis, "unhandledrejection", (event) => {
  own.preventDefault(event);
  printUncaught(" in a promise", own.reasonOf(event));
});

const { startTimer, stopTimer } = makeTimers(current, enter, printUncaught);
realm.furnish({
  window: globalThis, // as in the Deno that Authgear runs
  console: makeConsole(print, inspect, () => printing() !== undefined),
  fetch: makeFetch(current, send),
  setTimeout: (work: unknown, wait?: unknown, ...given: unknown[]) =>
    startTimer(false, work, wait, given),
  setInterval: (work: unknown, wait?: unknown, ...given: unknown[]) =>
    startTimer(true, work, wait, given),
  clearTimeout: stopTimer,
  clearInterval: stopTimer,
  reportError: (problem: unknown) => printUncaught("", problem),
});
realm.takeStock();
for (const thing of realm.intrinsics()) things.push(thing);
// What Deno itself uses, when it reads our pipe for us, must not be the script's either.
const bytesPrototype = own.getPrototypeOf(Uint8Array.prototype)!;
for (const thing of [Promise, Promise.prototype, Uint8Array, bytesPrototype.constructor]) {
  realm.lock(thing);
}
for (const thing of [Uint8Array.prototype, bytesPrototype]) realm.lock(thing);
listen();
