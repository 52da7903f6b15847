// `console`, whose lines go to the host, and only so many of them.

// deno-lint-ignore-file no-explicit-any
import { now, slice, table, toText } from "./builtins.ts";

/** Takes a finished line; `level` is one of log, info, warn, error, debug. */
type Print = (level: string, text: string) => void;

const LONGEST = 16_384; // characters of one line; the limits for all of them are the call's

/** One argument as people like to read it. Whatever goes wrong in it is the script's own. */
export function show(thing: unknown, inspect: (thing: unknown) => string): string {
  if (typeof thing === "string") return thing;
  try {
    const text = inspect(thing);
    return typeof text === "string" ? text : "?";
  } catch {
    return "[cannot be shown]";
  }
}

/**
 * Make a console. Each of its functions works without it, as `const { log } = console` needs.
 * Nothing is put into words when `hasRoom` says that nobody will read them.
 */
export function makeConsole(
  print: Print,
  inspect: (thing: unknown) => string,
  hasRoom: () => boolean,
): object {
  const counts = table<number>(), times = table<number>();
  let indent = "";

  // `things` is a rest parameter: an array of its own, read by index.
  const line = (level: string, things: unknown[]) => {
    if (!hasRoom()) return;
    let text = indent;
    for (let at = 0; at < things.length && text.length < LONGEST; at++) {
      text += (at ? " " : "") + show(things[at], inspect);
    }
    print(level, slice(text, 0, LONGEST));
  };
  const at = (level: string) => (...things: any[]) => line(level, things);
  const name = (label: unknown) => (label === undefined ? "default" : toText(label));
  const time = (label: unknown) => {
    const begun = times[name(label)];
    if (begun !== undefined) line("log", [`${name(label)}: ${now() - begun} ms`]);
  };
  return {
    log: at("log"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    debug: at("debug"),
    trace: at("debug"),
    dir: (thing: unknown) => line("log", [show(thing, inspect)]),
    dirxml: at("log"),
    table: (thing: unknown) => line("log", [show(thing, inspect)]),
    assert: (holds: unknown, ...things: any[]) => {
      if (!holds) line("error", ["Assertion failed:", show(things, inspect)]);
    },
    count: (label?: unknown) => {
      counts[name(label)] = (counts[name(label)] ?? 0) + 1;
      line("log", [`${name(label)}: ${counts[name(label)]}`]);
    },
    countReset: (label?: unknown) => {
      counts[name(label)] = 0;
    },
    time: (label?: unknown) => {
      times[name(label)] = now();
    },
    timeLog: (label?: unknown) => time(label),
    timeEnd: (label?: unknown) => {
      time(label);
      delete times[name(label)];
    },
    timeStamp: () => {},
    clear: () => {},
    group: (...things: any[]) => {
      if (things.length) line("log", things);
      if (indent.length < 40) indent += "  ";
    },
    groupCollapsed: (...things: any[]) => {
      if (things.length) line("log", things);
      if (indent.length < 40) indent += "  ";
    },
    groupEnd: () => {
      indent = slice(indent, 0, indent.length > 2 ? indent.length - 2 : 0);
    },
  };
}
