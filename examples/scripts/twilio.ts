// Twilio. Secrets: TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_FROM (a number or a sender's name).
// https://www.twilio.com/docs/messaging/api/message-resource
import { CustomSMSGatewayPayload, CustomSMSGatewayResponse } from "https://deno.land/x/authgear_deno_hook@v1.5.0/mod.ts";

// https://www.twilio.com/docs/api/errors
const CODES: Record<string, CustomSMSGatewayResponse["code"]> = {
  "20003": "authentication_failed",
  "14107": "rate_limited",
  "20429": "rate_limited",
  "21211": "invalid_phone_number",
  "21265": "invalid_phone_number",
  "21614": "invalid_phone_number",
  "21408": "delivery_rejected",
  "21606": "delivery_rejected",
  "21610": "delivery_rejected",
  "21612": "delivery_rejected",
};

export default async function (
  message: CustomSMSGatewayPayload,
  { secrets }: { secrets: Record<string, string> },
): Promise<CustomSMSGatewayResponse> {
  const account = secrets.TWILIO_ACCOUNT_SID;
  const answer = await fetch(`https://api.twilio.com/2010-04-01/Accounts/${account}/Messages.json`, {
    method: "POST",
    headers: { Authorization: "Basic " + btoa(`${account}:${secrets.TWILIO_AUTH_TOKEN}`) },
    body: new URLSearchParams({ To: message.to, From: secrets.TWILIO_FROM, Body: message.body }),
  });
  if (answer.ok) {
    return { code: "ok" };
  }
  const problem = await answer.json();
  return {
    code: CODES[problem.code] ?? "unknown_error",
    description: problem.message,
    provider_error_code: String(problem.code),
  };
}
