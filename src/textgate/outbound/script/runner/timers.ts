// Timers that belong to the call that started them, and end with it.

// deno-lint-ignore-file no-explicit-any
import * as own from "./builtins.ts";

/** A call, as far as timers know it. */
interface Call {
  open: boolean;
  timers: Record<number, any>;
}

/**
 * Make the functions that start and stop them; `current` is the call whose code runs now, if it is
 * not over; `enter` is told whose code runs next.
 */
export function makeTimers(
  current: () => Call | undefined,
  enter: (call: any) => void,
  printUncaught: (where: string, problem: unknown) => void,
) {
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
      enter(call);
      try {
        own.apply(work, undefined, given);
      } catch (thrown) {
        printUncaught(" in a timer", thrown);
      }
    };
    const startNative: any = repeats ? own.startInterval : own.startTimer;
    call.timers[id] = startNative(due, wait);
    return id;
  }

  function stopTimer(id: unknown): void {
    const call = current();
    if (call === undefined || typeof id !== "number" || !(id in call.timers)) return;
    own.stopTimer(call.timers[id]);
    delete call.timers[id];
  }

  return { startTimer, stopTimer };
}
