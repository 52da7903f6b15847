// `fetch` and `Response`: the request goes to the host as a frame, and its answer comes back as one.

// deno-lint-ignore-file no-explicit-any
import * as own from "./builtins.ts";
import { defineProperty, only, table, then } from "./builtins.ts";
import { quote } from "./wire.ts";

const MOST_BODY = 1_048_576; // bytes
const MOST_URL = 16_000, MOST_HEADERS = 100, MOST_HEADER_TEXT = 32_768; // characters

export interface Pending {
  resolve: (response: Response) => void;
  reject: (problem: unknown) => void;
  /** Made where fetch was called, so that its stack leads there; its message comes later. */
  problem: TypeError;
}

/** Say in an error what it is about. The words are put into its stack when that is first read. */
export function about(problem: TypeError, message: string): TypeError {
  defineProperty(problem, "message", only(message));
  return problem;
}

/** A call, as far as fetch knows it. */
interface Call {
  id: number;
  open: boolean;
  fetches: Record<number, Pending>;
}

/** Make a `fetch`; `current` is the call whose code runs now, if it is not over. */
export function makeFetch(
  current: () => Call | undefined,
  send: (head: string, body?: Uint8Array) => void,
): (input: any, init?: any) => Promise<Response> {
  let fetches = 0;

  function ask(
    call: Call,
    request: Request,
    signal: AbortSignal,
    body: Uint8Array,
    back: Pending,
  ): void {
    if (own.isAborted(signal)) return back.reject(own.abortReason(signal));
    if (!call.open) return;
    const url = own.requestUrl(request), method = own.requestMethod(request);
    let headers = "", count = 0, characters = 0, longest = 0;
    own.eachHeader(own.requestHeaders(request), (value, name) => {
      headers += `${headers ? "," : ""}[${quote(name)},${quote(value)}]`;
      count++;
      characters += name.length + value.length;
      if (name.length > longest) longest = name.length;
    });
    // The host looks again; a frame beyond its limits would cost this process its life.
    let tooMuch = "";
    if (own.lengthOf(body) > MOST_BODY) tooMuch = "the body is larger than 1 MiB";
    else if (url.length > MOST_URL) tooMuch = "the URL is too long";
    else if (method.length > 32) tooMuch = "the method is too long";
    else if (count > MOST_HEADERS || characters > MOST_HEADER_TEXT || longest > 200) {
      tooMuch = "the headers are too many or too long";
    }
    if (tooMuch) return back.reject(about(back.problem, `the request failed: ${tooMuch}`));
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
    send(
      `{"t":"fetch","id":${call.id},"fetch":${id},"method":${quote(method)},"url":${quote(url)},` +
        `"redirect":${redirect},"headers":[${headers}]}`,
      body,
    );
  }

  return function fetch(input: any, init?: any) {
    return new own.NativePromise((resolve, reject) => {
      const call = current();
      if (call === undefined) {
        throw new own.NativeTypeError("fetch is over: the call that it belongs to has ended");
      }
      // Deno's own class: it checks everything as in any browser, and throws the same errors.
      const request = new own.NativeRequest(input, init);
      const signal = own.requestSignal(request);
      if (own.isAborted(signal)) return reject(own.abortReason(signal));
      const problem = new own.NativeTypeError();
      own.traceFrom(problem, fetch);
      const back = { __proto__: null, resolve, reject, problem } as Pending;
      then(own.requestBytes(request), (body) => {
        ask(call, request, signal, new own.Bytes(body), back);
      }, reject);
    });
  };
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

/** Make a response; `problem` is the error that it has if its body is not whole. */
export function respond(
  answer: Answer,
  body: Uint8Array<ArrayBuffer>,
  problem: TypeError,
): Response {
  const headers = new own.NativeHeaders();
  for (let at = 0; at < answer.headers.length; at++) {
    own.appendHeader(headers, answer.headers[at][0], answer.headers[at][1]);
  }
  const { status } = answer;
  const init = table<unknown>();
  init.status = status > 599 ? 599 : status; // the class knows no higher one
  init.statusText = answer.phrase;
  init.headers = headers;
  const isEmpty = status === 204 || status === 205 || status === 304;
  const content = isEmpty ? null : answer.truncated ? broken(problem) : body;
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
function broken(problem: TypeError): ReadableStream {
  const stream = table<unknown>();
  stream.start = (controller: ReadableStreamDefaultController) => {
    own.failStream(controller, about(problem, "the body of the answer is longer than 64 KiB"));
  };
  return new own.NativeStream(stream);
}
