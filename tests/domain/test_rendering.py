"""What can be written in a template, what cannot, and that none is slow or grows."""

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgate.domain.errors import Invalid
from textgate.domain.rendering import (
    MAX_RENDERED,
    MAX_TEMPLATE,
    MAX_VALUE,
    MAX_VARIABLES,
    Rendered,
    check_variables,
    read_template,
)

LONGEST_READING_S = 1.0
"""Far above what was measured (26 ms), so that a busy machine does not fail it."""


def render(text: str, **given: Any) -> str:
    rendered = read_template(text).render(given)
    assert rendered.missing == ()
    return rendered.text


@pytest.mark.parametrize(
    ("text", "given", "wants"),
    [
        ("{{ code }} for {{app_name}}\n", {"code": "123", "app_name": "Shop"}, "123 for Shop\n"),
        ("a <b> & 'c' {{ x }}", {"x": "<&>\"'"}, "a <b> & 'c' <&>\"'"),  # never escaped
        ("no variables at all", {}, "no variables at all"),
        ("{# said to nobody #}x", {}, "x"),
        ("a  {{- code -}}  b", {"code": "1"}, "a1b"),
        ("line\n{%- if code %}\nmore{% endif %}\n", {"code": "1"}, "line\nmore\n"),
        ("{{ n }} {{ f }} {{ yes }} {{ no }}", {"n": 5, "f": 1.5, "yes": True, "no": False},
         "5 1.5 true false"),
        ("{% if has_password %}a{% elif link %}b{% else %}c{% endif %}", {"link": "x"}, "b"),
        ("{% if has_password %}a{% elif link %}b{% else %}c{% endif %}", {}, "c"),
        ("{% if has_password %}a{% else %}c{% endif %}", {"has_password": True}, "a"),
        ("{% if a and not b or c %}1{% else %}0{% endif %}", {"a": 1, "b": ""}, "1"),
        ("{% if n > 1 and n <= 3 %}few{% endif %}", {"n": 3}, "few"),
        ("{% if state == 'x' %}1{% endif %}", {"state": "x"}, "1"),
        ("{% if state == '' %}1{% endif %}", {}, "1"),  # what is missing is empty
        ("{% if '' == state %}1{% endif %}", {}, "1"),
        ("{% if state != 'x' %}1{% endif %}", {}, "1"),
        ("{% if has_password == false %}1{% endif %}", {}, "1"),
        ("{% if n == 0 %}1{% endif %}", {}, ""),  # but it is no number
        ("{{ a|upper }} {{ a|lower }} {{ b|trim }}", {"a": "Aß", "b": " c "}, "ASS aß c"),
        ("{{ a|default('friend') }} {{ b|default('friend') }}", {"b": ""}, "friend friend"),
        ("{{ a|default(b)|upper }}", {"b": "x"}, "X"),
        ("{{ a|default }}", {}, ""),
        ("?q={{ a|urlencode }}", {"a": "a b/ü&"}, "?q=a%20b%2F%C3%BC%26"),
        ("{{ 'x' }}{{ 1 }}{{ none }}", {}, "x1"),
        ("{% raw %}{{ code }}{% endraw %}", {}, "{{ code }}"),
        ("code\n\n@{{ host }} #{{ code }}", {"host": "h.example", "code": "1"},
         "code\n\n@h.example #1"),
        ("{{ range }}{{ dict }}{{ end }}", {"range": "a", "dict": "b", "end": "c"}, "abc"),
    ],
)  # fmt: skip
def test_a_template_is_filled_in(text: str, given: dict[str, Any], wants: str) -> None:
    assert render(text, **given) == wants


def test_a_missing_variable_is_named_and_its_place_is_kept() -> None:
    text = "{% if state %}{{ state }}{% endif %}{{ code }} {{ link|upper }} {{ code }}"
    program = read_template(text)
    assert program.variables == ("state", "code", "link")
    assert program.render({}) == Rendered("{{ code }} {{ LINK }} {{ code }}", ("code", "link"))
    assert program.render({"code": "1", "link": "x"}) == Rendered("1 X 1", ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{% for x in y %}{% endfor %}", "a loop"),
        ("{{ f() }}", "a call"),
        ("{{ code.upper() }}", "a call"),
        ("{{ range(9) }}", "a call"),
        ("{% macro m() %}{% endmacro %}", "a macro"),
        ("{{ code.x }}", "a member"),
        ("{{ code['__class__'] }}", "a member"),
        ("{{ code[0] }}", "a member"),
        ("{{ 2 * 3 }}", "arithmetic"),
        ("{{ 9 ** 9 ** 9 }}", "arithmetic"),
        ("{{ -n }}", "arithmetic"),
        ("{{ a ~ b }}", "arithmetic"),
        ("{% set x = 1 %}", "setting a variable"),
        ("{% with x = 1 %}{% endwith %}", "setting a variable"),
        ("{% include 'other' %}", "another template"),
        ("{% import 'other' as o %}", "another template"),
        ("{% extends 'other' %}", "another template"),
        ("{% block x %}{% endblock %}", "a block"),
        ("{{ code is defined }}", "a test"),
        ("{{ 'a' if b else 'c' }}", "an if within {{ }}"),
        ("{{ a in b }}", "`in`"),
        ("{{ ['a'] }}", "a list"),
        ("{% filter upper %}x{% endfilter %}", "a filter over a block"),
        ("{% autoescape true %}x{% endautoescape %}", "cannot be used"),
        ("{{ code|safe }}", "there is no filter safe"),
        ("{{ code|default(x='y') }}", "the filter default"),
        ("{{ code|upper('y') }}", "the filter upper"),
        ("{{ code|urlencode|urlencode|urlencode|urlencode }}", "at most 3 filters"),
        ("{{ self }}", "self"),
        ("{{ _x }}", "_x"),
        ("{{ größe }}", "größe"),
        ("{{ '\\ud800' }}", "half a character"),
        ("{{ code", "line 1"),
        ("{% if code %}x", "line 1"),
        ("{% cycle 'a' %}", "cycle"),
        ("{# for ever", "comment"),
        ("{{ " + "(" * 900 + "a" + ")" * 900 + " }}", "nested too deeply"),
        ("{% if a %}" * 21 + "{% endif %}" * 21, "nested too deeply"),
        ("{{ a" + " or a" * 21 + " }}", "nested too deeply"),
        ("{{a}}" * 800, "too many"),
    ],
)  # fmt: skip
def test_what_could_be_slow_or_grow_or_reach_out_is_refused_when_it_is_read(
    text: str, says: str
) -> None:
    with pytest.raises(Invalid) as refused:
        read_template(text)
    assert refused.value.field == "text"
    assert says in refused.value.message


def test_a_refusal_says_the_line() -> None:
    with pytest.raises(Invalid) as refused:
        read_template("one\ntwo {{ code }}\nthree {{ code.x }}\n")
    assert refused.value.message.startswith("line 3: a member of a variable")
    assert refused.value.details == {"line": 3}


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        ("{{ .Code }}", 1, "write {{ code }} here"),
        ("x\n{{- .HasPassword -}}", 2, "write {{ has_password }} here"),
        ("{{ .UILocales }}", 1, "write {{ ui_locales }} here"),
        ("{{ .ClientID }}{{ .URL }}", 1, "write {{ client_id }} here"),
        ("{{.XState}}", 1, "write {{ x_state }} here"),
        ('Hi\n\n{{ template "app.name" }}', 3, "write {{ app_name }} here"),
        ('{{ template "some.key" (dict "n" .Code) }}', 1, "write the text itself"),
        ("{{ if .HasPassword }}a{{ end }}", 1, "write {% if has_password %}…"),
        ("{{ else if .Link }}", 1, "write {% elif link %} here"),
        ("{{/* a remark */}}", 1, "{# … #}"),
        ("{{ range .Items }}{{ end }}", 1, "there are only variables"),
        ("{{ $x := .Code }}", 1, "there are only variables"),
    ],
)
def test_a_template_of_authgear_is_refused_with_what_to_write_instead(
    text: str, line: int, advice: str
) -> None:
    with pytest.raises(Invalid) as refused:
        read_template(text)
    assert f"line {line}: " in refused.value.message
    assert advice in refused.value.message


def test_a_text_is_bounded_before_and_after() -> None:
    read_template("x" * MAX_TEMPLATE)
    for text in ("", "x" * (MAX_TEMPLATE + 1)):
        with pytest.raises(Invalid):
            read_template(text)
    with pytest.raises(Invalid, match="gets longer"):
        read_template("{{ a }}" * 100).render({"a": "x" * (MAX_RENDERED // 100 + 1)})


def test_unlike_values_are_not_compared() -> None:
    program = read_template("{% if n > 1 %}x{% endif %}")
    for values in ({"n": "2"}, {}):
        with pytest.raises(Invalid) as refused:
            program.render(values)
        assert refused.value.field == "variables"


@pytest.mark.parametrize(
    "text",
    [
        "{{" * 2000, "{#" * 2000, "{%-" * 1300, " \n" * 2000, "\n{%- " * 800, "(" * 4000,
        "{{ " + "not " * 1000 + "a }}", "{{ a" + "[0]" * 1300 + " }}",
        "{{ a" + "|upper" * 680 + " }}", "{{ '" + "\\x41" * 1000 + "' }}",
        "{% if a %}" + "{% elif a %}x" * 300 + "{% endif %}", "{{ a }}\n" * 190,
        "{{/*" * 1000, "{{ .a" * 800, "{{" + " " * 4000,
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_no_text_takes_long_to_be_read_and_filled_in(text: str) -> None:
    began = time.process_time()
    with suppress(Invalid):
        read_template(text).render({"a": "x" * 300})
    assert time.process_time() - began < LONGEST_READING_S


PIECES = ["{{", "}}", "{%", "%}", "if", "else", "endif", "elif", "code", "|upper", ".", "(", ")",
          "'", "==", " ", "\n", "-", "{#", "#}", "for x in y", "9", "[", "]", "~"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join))
def test_whatever_is_pasted_is_filled_in_or_refused(text: str) -> None:
    with suppress(Invalid):
        program = read_template(text)
        filled = program.render(dict.fromkeys(program.variables, "x"))
        assert filled.missing == ()


@given(st.text(max_size=200))
def test_a_value_is_never_read_as_a_template(value: str) -> None:
    assert render("<{{ a }}>", a=value) == f"<{value}>"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({f"v{n}": "" for n in range(MAX_VARIABLES + 1)}, "variables"),
        ({"1st": "x"}, "variables"),
        ({"a-b": "x"}, "variables"),
        ({"self": "x"}, "variables"),
        ({"": "x"}, "variables"),
        ({"a" * 65: "x"}, "variables"),
        ({"code": "x" * (MAX_VALUE + 1)}, "variables.code"),
        ({"code": 10**30}, "variables.code"),
        ({"code": float("nan")}, "variables.code"),
        ({"code": float("-inf")}, "variables.code"),
    ],
)
def test_variables_are_bounded(given: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_variables(given)
    assert refused.value.field == field


def test_variables_within_the_bounds_are_taken() -> None:
    check_variables({"code": "x" * MAX_VALUE, "n": 10**15, "f": -1.5, "b": True, "A_1": ""})
    check_variables({f"v{n}": "" for n in range(MAX_VARIABLES)})
