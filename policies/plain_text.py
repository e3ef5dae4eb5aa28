"""Read a document from YAML, JSON or a mapping into plain JSON values, safely.

YAML is read from its parser's events, so neither tags nor aliases nor merge keys can build anything, and
nothing recurses. Plain scalars follow the core schema of YAML 1.2 (§10.3), in lower case and decimal:
`off`, `no` and `2026-01-01` stay text; floats are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime

import yaml

from records.canonical import Json
from records.errors import MalformedDocument

MAX_TEXT_BYTES = 128 << 10
MAX_DEPTH = 12
MAX_INTEGER = (1 << 53) - 1

_SHOWABLE = re.compile(r"[*\w][\w-]{0,63}")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE)
_WORDS: Mapping[str, Json] = {"null": None, "~": None, "": None, "true": True, "false": False}

Path = tuple[str | int, ...]


def read(source: str | Mapping[str, object]) -> dict[str, Json]:
    """Return `source` as plain JSON values: text that begins with `{` is JSON, other text is YAML.

    Raises:
        MalformedDocument: too large or deep, a duplicate key, an alias, a tag, a float, an integer beyond
            2^53 − 1, a control character, or not a mapping.
    """
    if isinstance(source, str):
        _require_size(source)
        value = _from_json(source) if source.lstrip().startswith("{") else _from_yaml(source)
    else:
        value = source
    if not isinstance(value, Mapping):
        raise MalformedDocument("the document is a mapping of fields")
    return _plain_fields(value, ())


def show_path(path: Path) -> str:
    """Return `release.min_units` or `techniques[1]`; a part that is no plain name is shown as `?`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + show_name(part)
    return text or "the document"


def show_name(name: str) -> str:
    """Return `name` if it looks like the name of a field or column, else `?`: it may be a misplaced value."""
    return name if _SHOWABLE.fullmatch(name) else "?"


def _require_size(text: str) -> None:
    # One character is at most four bytes: the cheap test comes first.
    if len(text) > MAX_TEXT_BYTES or len(text.encode(errors="replace")) > MAX_TEXT_BYTES:
        raise MalformedDocument(f"the document is larger than {MAX_TEXT_BYTES >> 10} KiB")


def _from_json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        raise MalformedDocument("the document begins with `{` and is not JSON") from None


def _distinct(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for key, value in pairs:
        if key in fields:
            raise MalformedDocument(f"the field `{show_name(key)}` stands twice")
        fields[key] = value
    return fields


def _from_yaml(text: str) -> object:
    try:
        return _build(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        # The library's own text quotes the line at fault.
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise MalformedDocument(f"the document is not YAML{line}") from None
    except yaml.YAMLError:
        raise MalformedDocument("the document is not YAML") from None


def _build(events: Iterator[yaml.Event]) -> object:
    """Return the one value that `events` describe. `open_nodes` holds the unfinished lists and mappings.

    A mapping is kept as its flat list of keys and values until it ends.
    """
    root: list[object] = []
    open_nodes: list[list[object]] = [root]
    for event in events:
        match event:
            case yaml.AliasEvent():
                raise MalformedDocument("the document holds a YAML alias; write the value out")
            case yaml.ScalarEvent():
                _refuse_decoration(event)
                open_nodes[-1].append(_scalar(event))
            case yaml.CollectionStartEvent():
                _refuse_decoration(event)
                if len(open_nodes) > MAX_DEPTH:
                    raise MalformedDocument("the document is nested too deeply")
                open_nodes.append([])
            case yaml.CollectionEndEvent():
                items = open_nodes.pop()
                ended = isinstance(event, yaml.MappingEndEvent)
                open_nodes[-1].append(_distinct(_pairs(items)) if ended else items)
    if len(root) != 1:
        raise MalformedDocument("the text holds one document")
    return root[0]


def _refuse_decoration(event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
    if event.anchor is not None or event.tag is not None:
        raise MalformedDocument("the document holds a YAML anchor or tag; write plain values")


def _pairs(items: list[object]) -> Iterator[tuple[str, object]]:
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str):
            raise MalformedDocument("the name of a field is text; quote names such as `1` and `true`")
        yield key, value


def _scalar(event: yaml.ScalarEvent) -> object:
    text: str = event.value
    quoted = not event.implicit[0]
    if quoted:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        # Python refuses to convert very long numbers, and the limit is far below.
        return int(text) if len(text) <= 20 else MAX_INTEGER + 1
    return float("nan") if _FLOAT.fullmatch(text) else text


def _plain_fields(fields: Mapping[object, object], path: Path) -> dict[str, Json]:
    plain: dict[str, Json] = {}
    for key, value in fields.items():
        if not isinstance(key, str):
            raise MalformedDocument(f"`{show_path(path)}`: the name of a field is text")
        if not key.isprintable():
            raise MalformedDocument(f"`{show_path(path)}`: the name of a field holds a control character")
        plain[key] = _plain(value, (*path, key))
    return plain


def _plain(value: object, path: Path) -> Json:
    if len(path) > MAX_DEPTH:
        raise MalformedDocument("the document is nested too deeply")
    if value is None or isinstance(value, bool):
        return value
    match value:
        case int() if abs(value) <= MAX_INTEGER:
            return int(value)
        case str() if value.isprintable():
            return str(value)
        case date() if not isinstance(value, datetime):
            return value.isoformat()
        case list() | tuple():
            return [_plain(item, (*path, index)) for index, item in enumerate(value)]
        case Mapping():
            return _plain_fields(value, path)
    raise MalformedDocument(f"`{show_path(path)}`: {_fault(value)}")


def _fault(value: object) -> str:
    match value:
        case float():
            return "a float has no exact form; write an integer, or a decimal in quotes"
        case int():
            return "an integer is at most 2^53 − 1"
        case str():
            return "text holds a control character"
    return "a value is text, an integer, true, false, null, a date, a list or a mapping"
