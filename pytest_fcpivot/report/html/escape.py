"""Write text of any origin into HTML: the one place where text becomes markup.

Names, answers and conversations come from data, models and servers. They reach the page only as children or attribute
values of `element`, which escapes them; what is markup already has the type `Markup`, which only this module makes.
"""

from __future__ import annotations

import html

from pytest_fcpivot.core.unseen import escape_unseen

_EMPTY = frozenset(("br", "meta", "hr"))
_DRAWN = frozenset(("rect", "line", "circle", "path"))
_SVG_NAMES = {"viewbox": "viewBox"}  # SVG's own names have capitals


class Markup(str):
    """A text that is markup already; joined to another text, it is plain text again."""

    __slots__ = ()


def text(value: object) -> Markup:
    r"""Write a text so that it is only text in an element or an attribute.

    Characters that a reader cannot see, such as control characters, marks that turn the direction of text, and lone
    surrogates, are written as escapes, as in \u202e.
    """
    return Markup(html.escape(escape_unseen(str(value))))


def element(name: str, *children: object, **attributes: object) -> Markup:
    """Write an element with its children: text, which is escaped, and other elements; None is left out.

    An attribute's name has a hyphen for each underscore, and none at its end, as in `class_`. The value True writes the
    name alone; None and False leave the attribute out. Raises ValueError for style and event attributes, which the
    page's own policy forbids.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _EMPTY:
        return Markup(f"<{name}{written}>")
    if name in _DRAWN and not children:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: object) -> Markup:
    """Write texts and elements one after another."""
    return Markup("".join(child if type(child) is Markup else text(child) for child in children if child is not None))


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if name == "style" or name.startswith("on"):
        raise ValueError(f"{name}: the page's policy forbids this attribute")
    if value is None or value is False:
        return ""
    name = _SVG_NAMES.get(name, name)
    return f" {name}" if value is True else f' {name}="{text(value)}"'
