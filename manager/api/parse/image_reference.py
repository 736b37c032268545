"""Whether a text can name an image: the grammar of image references, without resolving anything."""

import re

NAME_MAX_CHARACTERS = 255

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_LABEL}(?:\.{_DOMAIN_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::[\w][\w.-]{0,127})?"
    r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)
_ID = re.compile(r"[a-f0-9]{64}")


def is_image_reference(text: str) -> bool:
    """Whether Docker would take it: ``[domain/]path[:tag][@digest]``, and not a bare image id."""
    found = _REFERENCE.fullmatch(text)
    if found is None or _ID.fullmatch(text):
        return False
    return len(found["name"]) <= NAME_MAX_CHARACTERS
