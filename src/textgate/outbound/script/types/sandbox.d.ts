// The globals of a script that are in none of the compiler's own libraries that fit.

declare var self: typeof globalThis;
declare var console: Console;
declare function setTimeout<A extends unknown[]>(
  callback: (...args: A) => void,
  delay?: number,
  ...args: A
): number;
declare function setInterval<A extends unknown[]>(
  callback: (...args: A) => void,
  delay?: number,
  ...args: A
): number;
declare function clearTimeout(id?: number): void;
declare function clearInterval(id?: number): void;
declare function queueMicrotask(callback: () => void): void;
declare var performance: {
  readonly timeOrigin: number;
  now(): number;
};
// deno-lint-ignore no-explicit-any
declare var WebAssembly: any;
