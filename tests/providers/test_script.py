"""The script provider: what a script is given, and what its result means (B §5.9)."""

from typing import Any

from provider_case import Sample

REPEATS = """
export default async function (message: unknown) {
  const answer = await fetch("%s", { method: "POST", body: JSON.stringify(message) });
  const said = await answer.text();
  console.log(message, said);
  return answer.ok ? { code: "ok", said } : { code: "delivery_rejected", description: said };
}
"""
"""Posts the message and repeats whatever it hears."""


def settings(url: str) -> dict[str, Any]:
    return {"source": REPEATS % url, "timeout": 1}


SAMPLE = Sample(settings, calls_http=True)
