"""Plain values as JSON text, for the processes of the supervisor: they do without the standard library's ``json``.

That would cost each of them a megabyte and some milliseconds; what an OCI runtime is told needs a tenth of it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    Value = int | str | bytes | list["Value"] | tuple["Value", ...] | dict[str, "Value"]

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPED = str.maketrans(
    _ESCAPES | {chr(code): f"\\u{code:04x}" for code in range(0x20) if chr(code) not in _ESCAPES}
)


def to_json(value: "Value") -> str:
    """The text of a value. Bytes are JSON already, and are put in as they are.

    Raises:
        TypeError: it is not a plain value.
    """
    match value:
        case str():
            return f'"{value.translate(_ESCAPED)}"'
        case dict():
            members = [f"{to_json(str(name))}:{to_json(item)}" for name, item in value.items()]
            return f"{{{','.join(members)}}}"
        case list() | tuple():
            return f"[{','.join([to_json(item) for item in value])}]"
        case bytes():
            return value.decode()
        case int():  # true and false, too
            return str(value).lower()
    raise TypeError(f"not a plain value: {value!r}")
