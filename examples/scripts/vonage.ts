// Vonage (Nexmo), the SMS API. Secrets: VONAGE_API_KEY, VONAGE_API_SECRET, VONAGE_FROM.
// https://developer.vonage.com/en/messaging/sms/overview
import { CustomSMSGatewayPayload, CustomSMSGatewayResponse } from "https://deno.land/x/authgear_deno_hook@v1.5.0/mod.ts";

// https://developer.vonage.com/api-errors/sms
const CODES: Record<string, CustomSMSGatewayResponse["code"]> = {
  "1": "rate_limited",
  "3": "delivery_rejected",
  "4": "authentication_failed",
  "6": "delivery_rejected",
  "7": "delivery_rejected",
  "8": "authentication_failed",
  "9": "delivery_rejected",
  "10": "rate_limited",
};

interface Part {
  status: string;
  "error-text"?: string;
}

export default async function (
  message: CustomSMSGatewayPayload,
  { secrets }: { secrets: Record<string, string> },
): Promise<CustomSMSGatewayResponse> {
  const answer = await fetch("https://rest.nexmo.com/sms/json", {
    method: "POST",
    body: new URLSearchParams({
      api_key: secrets.VONAGE_API_KEY,
      api_secret: secrets.VONAGE_API_SECRET,
      from: secrets.VONAGE_FROM,
      to: message.to.replace("+", ""),
      text: message.body,
      type: /^[\x00-\x7f]*$/.test(message.body) ? "text" : "unicode",
    }),
  });
  // The status is 200 whatever happened; each part of a long message has one of its own.
  const parts: Part[] = (await answer.json()).messages;
  const refused = parts.find((part) => part.status !== "0");
  if (parts.length > 0 && refused === undefined) {
    return { code: "ok" };
  }
  return {
    code: CODES[refused?.status ?? ""] ?? "unknown_error",
    description: refused?.["error-text"],
    provider_error_code: refused?.status,
  };
}
