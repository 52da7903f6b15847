// The style of 2023: nothing is returned, and a failure is thrown.
import { CustomSMSGatewayPayload } from "https://deno.land/x/authgear_deno_hook@v1.2.0/mod.ts";

export default async function (message: CustomSMSGatewayPayload): Promise<void> {
  const query = new URLSearchParams({ phone: message.to, text: message.body });
  const answer = await fetch(`https://gateway.example.com/send?${query}`);
  if (!answer.ok) {
    throw new Error(`the gateway answered ${answer.status}`);
  }
}
