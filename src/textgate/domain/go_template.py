"""Templates pasted from Authgear, which are written for Go: what to write here instead (B §7.2)."""

import re

_GO = re.compile(
    r"\{\{-?\s*(?P<inside>/\*.*?(?:\*/|$)"
    r"|(?:if|else if|range|with|template|include|define|block)\s+[.$(\"`!a-z][^{}]*"
    r"|\$[^{}]*|\.[^{}]*)",
    re.DOTALL,
)
_FIELD = re.compile(r"\.([A-Za-z][A-Za-z0-9]*)")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_KEY = re.compile(r'(?:template|include)\s+"([\w.-]{1,64})"')


def go_instead(text: str) -> tuple[int, str] | None:
    """Return the line of the first action that is Go's, and a sentence; None if there is none."""
    found = _GO.search(text)
    if found is None:
        return None
    line = text.count("\n", 0, found.start()) + 1
    inside = found["inside"].rstrip("- \t\r\n")
    shown = "{{ " + (inside if len(inside) <= 40 else inside[:39] + "…") + " }}"
    return line, f"{shown} is how Go's templates are written; {_advice(inside)}"


def _advice(inside: str) -> str:
    field = _FIELD.search(inside)
    name = snake(field[1]) if field else "name"
    if inside.startswith("/*"):
        return "write a comment as {# … #}"
    if inside.startswith("else if"):
        return f"write {{% elif {name} %}} here"
    if inside.startswith("if"):
        return f"write {{% if {name} %}}…{{% else %}}…{{% endif %}} here"
    if key := _KEY.match(inside):
        if key[1] == "app.name":
            return "write {{ app_name }} here, a variable"
        return "write the text itself here, or a variable such as {{ app_name }}"
    if inside.startswith(".") and field:
        return f"write {{{{ {name} }}}} here"
    return "there are only variables ({{ code }}) and conditions ({% if has_password %}) here"


def snake(name: str) -> str:
    """Return a field's name as the payload spells it: ``HasPassword`` → ``has_password``."""
    spelt = name.replace("UILocales", "UiLocales")
    return "_".join(word.lower() for word in _WORDS.findall(spelt))
