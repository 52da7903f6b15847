// A provider that takes JSON with its own shape, and a key in a header.
import { CustomSMSGatewayPayload, CustomSMSGatewayResponse } from "https://deno.land/x/authgear_deno_hook@v1.5.0/mod.ts";

export default async function (message: CustomSMSGatewayPayload): Promise<CustomSMSGatewayResponse> {
  const wanted = {
    account: { user: "shop", key: "put-your-key-here" },
    sms: { sender: "Harbour", text: message.body, flash: false },
    recipients: [{ msisdn: message.to }],
  };
  const answer = await fetch("https://gateway.example.com/v2/send.json", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wanted),
  });
  if (!answer.ok) {
    return { code: "delivery_rejected" };
  }
  return { code: "ok" };
}
