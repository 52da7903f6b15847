import { CustomSMSGatewayPayload, CustomSMSGatewayResponse } from "https://deno.land/x/authgear_deno_hook@v1.5.0/mod.ts";

// Called once for each message. Put the address of your SMS provider here.
const ENDPOINT = "https://sms.example.com/send";

export default async function (message: CustomSMSGatewayPayload): Promise<CustomSMSGatewayResponse> {
  const answer = await fetch(ENDPOINT, { method: "POST", body: JSON.stringify(message) });
  return { code: answer.ok ? "ok" : "delivery_rejected" };
}
