// Drives every method of the npm client against a real server and prints, as one JSON object, what
// each of them returned. The test that started it judges; this file only talks.
//
// Environment: BASE_URL, LOGIN, PASSWORD, HOOK_URL (a webhook receiver), NUMBER (is delivered).
import Client, { WebHookEventType } from "android-sms-gateway";

const { BASE_URL, LOGIN, PASSWORD, HOOK_URL, NUMBER } = process.env;
const DELIVERY_TIMEOUT_MS = 20_000;
const POLL_MS = 50;

class Refused extends Error {
  constructor(status, body) {
    super(`HTTP ${status}`);
    this.answer = { status, body };
  }
}

async function call(method, url, headers, body) {
  const response = await fetch(url, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  // As the client's own documentation reads answers; only a 204 has nothing to parse.
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

const http = {
  get: (url, headers) => call("GET", url, headers),
  post: (url, body, headers) => call("POST", url, headers, body),
  put: (url, body, headers) => call("PUT", url, headers, body),
  patch: (url, body, headers) => call("PATCH", url, headers, body),
  delete: (url, headers) => call("DELETE", url, headers),
};

async function refusal(promise) {
  try {
    return { unexpected: await promise };
  } catch (error) {
    if (error instanceof Refused) return error.answer;
    throw error;
  }
}

async function delivered(client, id) {
  const until = Date.now() + DELIVERY_TIMEOUT_MS;
  for (;;) {
    const state = await client.getState(id);
    if (state.state === "Delivered" || Date.now() > until) return state;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const client = new Client(LOGIN, PASSWORD, http, BASE_URL);
const stranger = new Client(LOGIN, `${PASSWORD}!`, http, BASE_URL);
const said = {};

said.health = await client.getHealth();
said.hook = await client.registerWebhook({ url: HOOK_URL, event: WebHookEventType.SmsDelivered });
said.scopedToNothing = await client.registerWebhook({
  id: "node-hook",
  url: HOOK_URL,
  event: WebHookEventType.SmsReceived,
  deviceId: null,
});
said.hooks = await client.getWebhooks();
said.sent = await client.send({ message: "Hello from Node", phoneNumbers: [NUMBER], ttl: 600 });
said.state = await delivered(client, said.sent.id);
said.shortCode = await client.send(
  { id: `node-${Date.now()}`, message: "x", phoneNumbers: ["8001"], withDeliveryReport: false },
  { skipPhoneValidation: true },
);
said.deleted = await client.deleteWebhook(said.hook.id);
await client.deleteWebhook("node-hook");
said.hooksAfter = await client.getWebhooks();
said.devices = await client.getDevices();
said.deviceDeleted = await client.deleteDevice("no-such-device");
said.exported = await client.exportInbox({
  deviceId: "no-such-device",
  since: new Date("2026-01-01T00:00:00Z"),
  until: new Date("2026-01-02T00:00:00Z"),
});
said.logs = await client.getLogs(new Date("2026-01-01T00:00:00Z"), new Date());
said.allLogs = await client.getLogs();
// This client spells members in camelCase, which the API has never known: dropped, not refused.
said.updated = await client.updateSettings({ messages: { limitPeriod: "PerDay", limitValue: 100 } });
said.patched = await client.patchSettings({ ping: { interval_seconds: 60 } });
said.settings = await client.getSettings();
await client.updateSettings({});
said.strangersHealth = await stranger.getHealth();
said.strangersDevices = await refusal(stranger.getDevices());
said.unknownState = await refusal(client.getState("no-such-message"));
said.noNumber = await refusal(client.send({ message: "x", phoneNumbers: ["hello"] }));

console.log(JSON.stringify(said));
