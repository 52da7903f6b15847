import { CustomSMSGatewayPayload, CustomSMSGatewayResponse } from "https://deno.land/x/authgear_deno_hook@v1.5.0/mod.ts";

export default async function (sms: CustomSMSGatewayPayload): Promise<CustomSMSGatewayResponse> {
  const answer = await fetch("FAR_SIDE", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(sms),
  });
  return answer.ok ? { code: "ok" } : { code: "delivery_rejected" };
}
