"""``--format``: the part of Go's text/template that people use with docker. Pure.

Text with actions ``{{.Field.Sub}}``, pipelines (``{{json .Spec | upper}}``), the functions in ``FUNCTIONS``,
``{{range}}``, ``{{if}}`` and ``{{with}}`` with ``{{else}}`` and ``{{end}}``, comments, and ``-`` for trimming space.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_ACTION = re.compile(r"(\s*)\{\{(- )?\s*(.*?)\s*( -)?\}\}(\s*)", re.DOTALL)
Node = str | tuple[str, str, list["Node"], list["Node"]]
"""Text, or (keyword or "", its expression, body, else-body)."""


class TemplateError(ValueError):
    """The template cannot be read or does not fit the data."""


def render(template: str, data: object) -> str:
    """The template's text for one value.

    Raises:
        TemplateError: it cannot be read, or names a field that is not there.
    """
    return "".join(_write(_parse(template), data, data))


# ----------------------------------------------------------------------------------------- reading


def _tokens(template: str) -> Iterator[tuple[bool, str]]:
    at = 0
    for match in _ACTION.finditer(template):
        before, trim_left, action, trim_right, after = match.groups()
        yield False, template[at : match.start()] + ("" if trim_left else before)
        if not action.startswith("/*"):
            yield True, action
        at = match.end() if trim_right else match.end() - len(after)
    rest = template[at:]
    if "{{" in rest:
        raise TemplateError(f"template parsing error: unclosed action in {template!r}")
    yield False, rest


def _parse(template: str) -> list[Node]:
    root: list[Node] = []
    bodies: list[list[Node]] = [root]
    blocks: list[tuple[str, str, list[Node], list[Node]]] = []
    for is_action, text in _tokens(template):
        if is_action:
            _add_action(text, bodies, blocks)
        elif text:
            bodies[-1].append(text)
    if blocks:
        raise TemplateError(f"template parsing error: {{{{{blocks[-1][0]}}}}} without {{{{end}}}}")
    return root


def _add_action(
    text: str, bodies: list[list[Node]], blocks: list[tuple[str, str, list[Node], list[Node]]]
) -> None:
    word = text.split(None, 1)[0] if text else ""
    if word in ("range", "if", "with"):
        block = (word, text[len(word) :].strip(), list[Node](), list[Node]())
        bodies[-1].append(block)
        blocks.append(block)
        bodies.append(block[2])
    elif word not in ("else", "end"):
        bodies[-1].append(("", text, [], []))
    elif not blocks:
        raise TemplateError(f"template parsing error: unexpected {{{{{word}}}}}")
    elif word == "else":
        bodies[-1] = blocks[-1][3]
    else:
        bodies.pop()
        blocks.pop()


# ----------------------------------------------------------------------------------------- writing


def _write(nodes: Sequence[Node], data: object, root: object) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
            continue
        keyword, expression, body, other = node
        value = _evaluate(expression, data, root)
        if keyword == "":
            yield _text(value)
        elif not value:
            yield from _write(other, data, root)
        elif keyword == "range":
            items = value.values() if isinstance(value, Mapping) else value
            for item in (
                items if isinstance(items, (list, tuple)) or isinstance(value, Mapping) else []
            ):
                yield from _write(body, item, root)
        else:
            yield from _write(body, value if keyword == "with" else data, root)


def _evaluate(expression: str, data: object, root: object) -> Any:  # noqa: ANN401
    value: object = None
    for place, stage in enumerate(_split(expression, "|")):
        words = _words(stage)
        given = [_term(word, data, root) for word in words[1:]] + ([value] if place else [])
        if not words:
            raise TemplateError("template parsing error: missing value for command")
        if words[0] in FUNCTIONS:
            try:
                value = FUNCTIONS[words[0]](*given)
            except (TypeError, IndexError, KeyError, ValueError) as error:
                raise TemplateError(f"template: error calling {words[0]}: {error}") from None
        elif given:
            raise TemplateError(f'template parsing error: function "{words[0]}" not defined')
        else:
            value = _term(words[0], data, root)
    return value


def _split(expression: str, separator: str) -> list[str]:
    parts, depth, quote = [""], 0, ""
    for character in expression:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'`":
            quote = character
        depth += (character == "(") - (character == ")") if not quote else 0
        if character == separator and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _words(stage: str) -> list[str]:
    words = [word for word in _split(stage, " ") if word]
    if any(word.count("(") != word.count(")") for word in words):
        raise TemplateError(f"template parsing error: unbalanced parentheses in {stage!r}")
    return words


def _term(word: str, data: object, root: object) -> Any:  # noqa: ANN401
    if word.startswith("("):
        return _evaluate(word[1:-1], data, root)
    if word[0] in "$.":
        return _field(root if word[0] == "$" else data, word.lstrip("$"))
    if word in FUNCTIONS:
        return FUNCTIONS[word]()
    return _literal(word)


def _literal(word: str) -> Any:  # noqa: ANN401
    if word[0] == "`":
        return word.strip("`")
    if word[0] in "\"'":
        return shlex.split(word)[0]
    if word.lstrip("-").isdigit():
        return int(word)
    if word in ("true", "false"):
        return word == "true"
    raise TemplateError(f'template parsing error: function "{word}" not defined')


def _field(value: object, path: str) -> Any:  # noqa: ANN401
    for name in path.split("."):
        if not name:
            continue
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise TemplateError(f"template: can't evaluate field {name} in {type(value).__name__}")
        if name not in value and value.get("__strict__"):
            raise TemplateError(
                f"template: can't evaluate field {name}: use one of {', '.join(k for k in value if k[0] != '_')}"
            )
        value = value.get(name)
    return value


def _text(value: object) -> str:
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(_text, value)) + "]"
    if isinstance(value, Mapping):
        return (
            "map[" + " ".join(f"{key}:{_text(item)}" for key, item in sorted(value.items())) + "]"
        )
    return str(value)


def _index(value: Any, *keys: Any) -> Any:  # noqa: ANN401
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else value[key]
    return value


def _to_json(value: object) -> str:
    if isinstance(value, Mapping) and value.get("__strict__"):
        value = {key: item for key, item in sorted(value.items()) if key[0] != "_"}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": _to_json,
    "join": lambda items, separator: separator.join(map(_text, items or [])),
    "upper": lambda text: _text(text).upper(),
    "lower": lambda text: _text(text).lower(),
    "title": lambda text: _text(text).title(),
    "len": lambda value: len(value or ()),
    "index": _index,
    "println": lambda *values: " ".join(map(_text, values)) + "\n",
    "print": lambda *values: "".join(map(_text, values)),
    "printf": lambda pattern, *values: re.sub(r"%[vq]", "%s", pattern) % values,
    "split": lambda text, separator: text.split(separator),
    "slice": lambda value, *ends: value[slice(*(ends if len(ends) > 1 else (ends[0], None)))],
    "eq": lambda first, *others: first in others,
    "ne": lambda first, second: first != second,
    "not": lambda value: not value,
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
}
