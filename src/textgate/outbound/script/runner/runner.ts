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
import { apply, defineProperty, freeze, now, only, parse, slice, table, then } from "./builtins.ts";
import { makeConsole, show } from "./console.ts";
import * as realm from "./realm.ts";
import { frame, quote, readLength, SECRET_LENGTH } from "./wire.ts";

// --- what is taken before the realm is emptied ---

const { read: readFd, writeSync: writeFd } = (globalThis as any).process
  .getBuiltinModule("node:fs");
const { AsyncLocalStorage } = (globalThis as any).process.getBuiltinModule("node:async_hooks");
const { builtinModules } = (globalThis as any).process.getBuiltinModule("node:module");
const exit: (code: number) => never = (globalThis as any).process.reallyExit;
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
}

interface Pending {
  resolve: (response: Response) => void;
  reject: (problem: unknown) => void;
}

const MOST_LINES = 500;
const MOST_CHARACTERS = 65_536; // of all lines of a call
const MOST_TEXT = 8_192; // characters of a message or a stack
const MOST_BODY = 1_048_576; // bytes of a request's body, or of a result
const MOST_URL = 16_000, MOST_HEADERS = 100, MOST_HEADER_TEXT = 32_768; // characters
const calls = table<Call>();

// Which call runs is told by Deno's async context, so concurrent ones are never mixed up.
const context = new AsyncLocalStorage();
const { run: runIn, getStore } = AsyncLocalStorage.prototype;
const within = (call: Call, work: () => void): void => apply(runIn, context, [call, work]);

function current(): Call | undefined {
  const call = apply(getStore, context, []) as Call | undefined;
  return call !== undefined && call.open ? call : undefined;
}

// --- out ---

let secret = new own.Bytes(SECRET_LENGTH); // the host's first frame brings it
const waiting = table<Uint8Array>();
let firstWaiting = 0, nextWaiting = 0, flushing = false;

/** Send a frame, at the end of this turn; `flush` does it now. */
function send(head: string, body: Uint8Array | null = null): void {
  waiting[nextWaiting] = frame(secret, head, body);
  nextWaiting++;
  if (flushing) return;
  flushing = true;
  own.microtask(flush);
}

function flush(): void {
  flushing = false;
  while (firstWaiting < nextWaiting) {
    const bytes = waiting[firstWaiting], length = own.lengthOf(bytes);
    // A pipe whose other end is gone: then so are we.
    let written = 0;
    while (written < length) written += writeFd(1, bytes, written, length - written, null);
    delete waiting[firstWaiting];
    firstWaiting++;
  }
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

/** What a thrown thing says of itself. Reading it can run the script's code, which can throw. */
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

let source: string | null = null;
let loading: Promise<(payload: unknown, context: unknown) => unknown> | null = null;
const things: object[] = [];

/** Load the script, once; on behalf of the call that comes first. */
function loaded() {
  if (loading !== null) return loading;
  const blob = new NativeBlob([source!], { type: "application/typescript" });
  const address = createAddress(blob);
  source = null;
  // Not `async`: an await would run through whatever the script has made of its own promises.
  loading = new own.NativePromise((resolve, reject) => {
    then(import(address) as Promise<any>, (module) => {
      realm.close(things);
      const entry = module.default;
      if (typeof entry === "function") resolve(entry);
      else reject(new own.NativeTypeError("the script has no default export that is a function"));
    }, reject);
  });
  return loading;
}

const NativeBlob = Blob, createAddress = URL.createObjectURL;

function begin(id: number, secrets: Record<string, string>, payload: string): void {
  const call: Call = {
    __proto__: null,
    id,
    open: true,
    timers: table<any>(),
    fetches: table<Pending>(),
    lines: 0,
    characters: 0,
  } as any;
  calls[id] = call;
  within(call, () => {
    then(loaded(), (entry) => {
      try {
        const result = entry(parse(payload), surroundings(secrets));
        // A promise, a thenable or a value.
        const settled = new own.NativePromise((resolve) => resolve(result));
        then(settled, (value) => finish(call, value), (thrown) => fail(call, "threw", thrown));
      } catch (thrown) {
        fail(call, "threw", thrown);
      }
    }, (thrown) => fail(call, "unloaded", thrown));
  });
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
  if (own.lengthOf(bytes) > MOST_BODY) {
    return fail(call, "threw", new own.NativeTypeError("the script returned more than 1 MiB"));
  }
  end(call);
  send(`{"t":"value","id":${call.id}}`, bytes);
}

function fail(call: Call, what: string, thrown: unknown): void {
  if (!call.open) return;
  const description = describe(thrown);
  end(call);
  send(`{"t":"${what}","id":${call.id},${description}}`);
}

/** Stop what a call has begun. What of it still comes in has nobody to go to. */
function end(call: Call): void {
  call.open = false;
  delete calls[call.id];
  const timers = own.ownKeys(call.timers);
  for (let at = 0; at < timers.length; at++) own.stopTimer(call.timers[timers[at] as any]);
  call.timers = table<any>();
  call.fetches = table<Pending>();
}

// --- what a script finds ---

let timers = 0;

function startTimer(repeats: boolean, work: unknown, wait: unknown, given: unknown[]): number {
  const call = current();
  if (typeof work !== "function") throw new own.NativeTypeError("a timer needs a function");
  if (call === undefined) return 0;
  timers++;
  const id = timers;
  const due = () => {
    if (!call.open) return;
    if (!repeats) delete call.timers[id];
    try {
      apply(work as any, undefined, given);
    } catch (thrown) {
      printUncaught(" in a timer", thrown);
    }
  };
  const start: any = repeats ? own.startInterval : own.startTimer;
  call.timers[id] = start(due, wait);
  return id;
}

function stopTimer(id: unknown): void {
  const call = current();
  if (call === undefined || typeof id !== "number" || !(id in call.timers)) return;
  own.stopTimer(call.timers[id]);
  delete call.timers[id];
}

let fetches = 0;

function fetch(input: any, init?: any): Promise<Response> {
  return new own.NativePromise((resolve, reject) => {
    const call = current();
    if (call === undefined) {
      throw new own.NativeTypeError("fetch is over: the call that it belongs to has ended");
    }
    // Deno's own class: it checks everything as in any browser, and throws the same errors.
    const request = new own.NativeRequest(input, init);
    const signal = own.requestSignal(request);
    if (own.isAborted(signal)) return reject(own.abortReason(signal));
    then(own.requestBytes(request), (body) => {
      ask(call, request, signal, new own.Bytes(body), { __proto__: null, resolve, reject } as any);
    }, reject);
  });
}

function ask(call: Call, request: Request, signal: AbortSignal, body: Uint8Array, back: Pending): void {
  if (own.isAborted(signal)) return back.reject(own.abortReason(signal));
  if (!call.open) return;
  const address = own.requestUrl(request), verb = own.requestMethod(request);
  let headers = "", count = 0, characters = 0, longest = verb.length;
  own.eachHeader(own.requestHeaders(request), (value, name) => {
    headers += `${headers ? "," : ""}[${quote(name)},${quote(value)}]`;
    count++;
    characters += name.length + value.length;
    if (name.length > longest) longest = name.length;
  });
  // The host looks again; a frame beyond its limits would cost this process its life.
  const tooMuch = own.lengthOf(body) > MOST_BODY
    ? "the body is larger than 1 MiB"
    : address.length > MOST_URL
    ? "the URL is too long"
    : count > MOST_HEADERS || characters > MOST_HEADER_TEXT || longest > 200
    ? "the headers are too many or too long"
    : verb.length > 32
    ? "the method is too long"
    : null;
  if (tooMuch !== null) return back.reject(new own.NativeTypeError(`the request failed: ${tooMuch}`));
  fetches++;
  const id = fetches;
  call.fetches[id] = back;
  own.listen(signal, "abort", () => {
    if (!(id in call.fetches)) return;
    delete call.fetches[id];
    send(`{"t":"abort","id":${call.id},"fetch":${id}}`);
    back.reject(own.abortReason(signal));
  });
  const redirect = quote(own.requestRedirect(request));
  const method = quote(verb), url = quote(address);
  send(
    `{"t":"fetch","id":${call.id},"fetch":${id},"method":${method},"url":${url},` +
      `"redirect":${redirect},"headers":[${headers}]}`,
    body,
  );
}

/** What the host says of an answer. */
interface Answer {
  status: number;
  phrase: string;
  url: string;
  redirected: boolean;
  truncated: boolean;
  headers: [string, string][];
}

function respond(answer: Answer, body: Uint8Array): Response {
  const headers = new own.NativeHeaders();
  for (let at = 0; at < answer.headers.length; at++) {
    own.appendHeader(headers, answer.headers[at][0], answer.headers[at][1]);
  }
  const { status } = answer;
  const isEmpty = status === 204 || status === 205 || status === 304;
  const init: any = table<unknown>();
  init.status = status > 599 ? 599 : status; // the class knows no higher one
  init.statusText = answer.phrase;
  init.headers = headers;
  const content: any = isEmpty ? null : answer.truncated ? broken() : body;
  return dress(new own.NativeResponse(content, init), answer);
}

/** Give a response what only fetch can give it. */
function dress(response: Response, answer: Answer): Response {
  defineProperty(response, "url", only(answer.url));
  defineProperty(response, "redirected", only(answer.redirected));
  defineProperty(response, "type", only("basic"));
  if (answer.status > 599) {
    defineProperty(response, "status", only(answer.status));
    defineProperty(response, "ok", only(false));
  }
  defineProperty(response, "clone", only(() => dress(own.cloneResponse(response), answer)));
  return response;
}

/** The body of an answer that was longer than what is kept of it. */
function broken(): ReadableStream {
  const stream: any = table<unknown>();
  stream.start = (controller: any) =>
    failStream(controller, new own.NativeTypeError("the body of the answer is longer than 64 KiB"));
  return new own.NativeStream(stream);
}

const failStream = (() => {
  const { error } = ReadableStreamDefaultController.prototype;
  return (controller: any, problem: unknown) => apply(error, controller, [problem]);
})();

// --- in ---

function hear(head: any, body: Uint8Array): void {
  const call = calls[head.id] as Call | undefined;
  if (head.t === "call") {
    begin(head.id, head.secrets, own.decode(body));
  } else if (head.t === "ping") {
    send(`{"t":"pong","n":${head.n}}`);
    flush();
  } else if (head.t === "load") {
    secret = own.encode(head.secret) as any;
    source = own.decode(body);
    send(`{"t":"ready"}`);
  } else if (call === undefined) {
    return; // it has ended while the host was saying this
  } else if (head.t === "end") {
    end(call);
  } else if (head.fetch in call.fetches) {
    const pending = call.fetches[head.fetch];
    delete call.fetches[head.fetch];
    if (head.t === "failed") pending.reject(new own.NativeTypeError(head.message));
    else pending.resolve(respond(head, body));
  }
}

let held = new own.Bytes(65_536), used = 0;

function take(): void {
  let at = 0;
  while (used - at >= 8) {
    const length = readLength(held, at);
    if (used - at - 4 < length) break;
    const headLength = readLength(held, at + 4), bodyLength = length - 4 - headLength;
    const head = copy(at + 8, headLength), body = copy(at + 8 + headLength, bodyLength);
    at += 4 + length;
    hear(parse(own.decode(head)), body);
  }
  const left = used - at;
  const needed = left >= 4 ? readLength(held, at) + 4 : 0;
  const capacity = own.lengthOf(held);
  if (at || needed > capacity) {
    const next = new own.Bytes(needed > capacity ? needed : capacity);
    own.copyInto(next, copy(at, left), 0);
    held = next;
    used = left;
  }
}

function copy(from: number, length: number): Uint8Array<ArrayBuffer> {
  return own.part(held, from, from + length);
}

function listen(): void {
  readFd(0, held, used, own.lengthOf(held) - used, null, (problem: unknown, count: number) => {
    if (problem !== null || !count) exit(0); // the host is gone
    used += count;
    take();
    listen();
  });
}

// --- begin ---

for (const name of builtinModules) {
  const specifier = name.startsWith("node:") ? name : `node:${name}`;
  if (!import.meta.resolve(specifier).startsWith("not-offered:")) {
    throw new Error(`this Deno has a built-in module that is not closed off: ${specifier}`);
  }
}

const consoleOfOurs = makeConsole(print, inspect, () => printing() !== undefined);

// An error that nobody catches ends a process of Deno's. Here it is one line of the call's output.
own.listen(globalThis, "error", (event: any) => {
  own.preventDefault(event);
  printUncaught("", own.errorOf(event));
});
own.listen(globalThis, "unhandledrejection", (event: any) => {
  own.preventDefault(event);
  printUncaught(" in a promise", own.reasonOf(event));
});

realm.furnish({
  window: globalThis, // as in the Deno that Authgear runs
  console: consoleOfOurs,
  fetch,
  setTimeout: (work: unknown, wait?: unknown, ...given: any[]) => startTimer(false, work, wait, given),
  setInterval: (work: unknown, wait?: unknown, ...given: any[]) => startTimer(true, work, wait, given),
  clearTimeout: stopTimer,
  clearInterval: stopTimer,
  reportError: (problem: unknown) => printUncaught("", problem),
});
realm.takeStock();
for (const thing of realm.intrinsics()) things.push(thing);
// What Deno itself uses, when it reads our pipe for us, must not be the script's either.
const bytesPrototype = own.getPrototypeOf(Uint8Array.prototype)!;
const bytesClass = bytesPrototype.constructor;
for (const thing of [Promise, Promise.prototype, Uint8Array, bytesClass]) realm.lock(thing);
for (const thing of [Uint8Array.prototype, bytesPrototype]) realm.lock(thing);
listen();
export {};
