"""What is looked for in a script, in the words of tree-sitter's grammar of TypeScript."""

from collections import defaultdict
from collections.abc import Mapping

import tree_sitter_typescript
from tree_sitter import Language, Node, Parser, Query, QueryCursor

NOT_OFFERED = {
    "Deno": "use fetch; a script's secrets are in its second argument",
    "process": "a script's secrets are in its second argument",
    "Buffer": "use Uint8Array, TextEncoder, TextDecoder, btoa and atob",
    "require": "import an ES module by its https: URL",
    "WebSocket": "use fetch",
    "WebSocketStream": "use fetch",
    "EventSource": "use fetch",
    "XMLHttpRequest": "use fetch",
    "Worker": "a script has one thread",
    "SharedWorker": "a script has one thread",
    "BroadcastChannel": "nothing joins two scripts",
    "localStorage": "a script stores nothing",
    "sessionStorage": "a script stores nothing",
    "indexedDB": "a script stores nothing",
    "caches": "a script stores nothing",
    "alert": "nobody is there to answer; use console.log",
    "confirm": "nobody is there to answer",
    "prompt": "nobody is there to answer",
}
"""Globals of Deno, of Node.js and of browsers that a script does not have, and what to do."""

_names = " ".join(f'"{name}"' for name in NOT_OFFERED)
_QUERY = f"""
(ERROR) @error
(MISSING) @error

(import_statement source: (string) @specifier)
(export_statement source: (string) @specifier)
(import_require_clause source: (string) @specifier)
(call_expression function: (import) arguments: (_) @imported)
(module name: (string) @ambient)
(import_attribute) @attribute

[(comment) (hash_bang_line)] @comment
(html_comment) @html
[(string_fragment) (regex_pattern)] @text
([(identifier) (property_identifier) (type_identifier) (shorthand_property_identifier)
  (shorthand_property_identifier_pattern)] @escaped (#match? @escaped "\\\\\\\\"))

(program (export_statement "default" value: (_) @default))
(program (export_statement "default" declaration: (_) @default))
(program (export_statement (export_clause (export_specifier name: (_) @exported !alias))))
(program (export_statement (export_clause (export_specifier alias: (_) @exported))))

((identifier) @global (#any-of? @global {_names}))
(unary_expression operator: "typeof" argument: (identifier) @asked)

(variable_declarator name: (identifier) @bound)
(required_parameter pattern: (identifier) @bound)
(optional_parameter pattern: (identifier) @bound)
(arrow_function parameter: (identifier) @bound)
(catch_clause parameter: (identifier) @bound)
(for_in_statement left: (identifier) @bound)
(array_pattern (identifier) @bound)
(rest_pattern (identifier) @bound)
(pair_pattern value: (identifier) @bound)
(assignment_pattern left: (identifier) @bound)
(shorthand_property_identifier_pattern) @bound
(import_clause (identifier) @bound)
(import_specifier (identifier) @bound)
(namespace_import (identifier) @bound)
(import_require_clause (identifier) @bound)
(export_specifier (identifier) @bound)
(function_declaration name: (_) @bound)
(function_expression name: (_) @bound)
(function_signature name: (_) @bound)
(generator_function_declaration name: (_) @bound)
(class_declaration name: (_) @bound)
(enum_declaration name: (_) @bound)
(internal_module name: (_) @bound)
"""

_language = Language(tree_sitter_typescript.language_typescript())
_query = Query(_language, _QUERY)


def captures(source: bytes) -> Mapping[str, list[Node]]:
    """Return what the query finds, by the names after ``@``. May take very long: see reader.py."""
    tree = Parser(_language).parse(source)
    found: dict[str, list[Node]] = defaultdict(list)
    found.update(QueryCursor(_query).captures(tree.root_node))
    return found
