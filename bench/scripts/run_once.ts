// A process for each call: run_once.ts <script> <input> <output>, each an absolute path.
const [script, input, output] = Deno.args;
const { default: send } = await import(`file://${script}`);
const value = await send(JSON.parse(await Deno.readTextFile(input)));
await Deno.writeTextFile(output, JSON.stringify(value ?? null));
