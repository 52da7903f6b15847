// Sinch, the SMS REST API. Secrets: SINCH_PLAN_ID, SINCH_API_TOKEN, SINCH_FROM.
// https://developers.sinch.com/docs/sms/api-reference/sms/batches
import { CustomSMSGatewayPayload, CustomSMSGatewayResponse } from "https://deno.land/x/authgear_deno_hook@v1.5.0/mod.ts";

const REGION = "us";

// https://developers.sinch.com/docs/sms/api-reference/status-codes
const CODES: Record<number, CustomSMSGatewayResponse["code"]> = {
  400: "delivery_rejected",
  401: "authentication_failed",
  403: "authentication_failed",
  429: "rate_limited",
};

export default async function (
  message: CustomSMSGatewayPayload,
  { secrets }: { secrets: Record<string, string> },
): Promise<CustomSMSGatewayResponse> {
  const answer = await fetch(`https://${REGION}.sms.api.sinch.com/xms/v1/${secrets.SINCH_PLAN_ID}/batches`, {
    method: "POST",
    headers: {
      Authorization: `Bearer ${secrets.SINCH_API_TOKEN}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify({ from: secrets.SINCH_FROM, to: [message.to], body: message.body }),
  });
  if (answer.ok) {
    return { code: "ok" };
  }
  const said = await answer.text();
  const problem = said.startsWith("{") ? JSON.parse(said) : {};
  return {
    code: CODES[answer.status] ?? "unknown_error",
    description: problem.text,
    provider_error_code: problem.code,
  };
}
