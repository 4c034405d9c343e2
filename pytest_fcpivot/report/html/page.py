"""Put the parts of the report together as one HTML file that may load nothing, and runs its own script alone."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from pytest_fcpivot.report.html.escape import Markup, element, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FOLDER = files("pytest_fcpivot.report.html")


def style_sheet() -> str:
    """Return the style sheet."""
    return _FOLDER.joinpath("report.css").read_text(encoding="utf-8")


def script() -> str:
    """Return the script: the files of the folder js, in the order of their names."""
    names = sorted(each.name for each in _FOLDER.joinpath("js").iterdir() if each.name.endswith(".js"))
    return "\n".join(_FOLDER.joinpath("js", name).read_text(encoding="utf-8") for name in names)


def page(title: str, first_screen: Markup, meta: str, index: str, parts: Sequence[tuple[int, str]]) -> Iterable[str]:
    """Yield the texts of the page; `index` and `parts` are base64, `meta` is JSON without any `<`."""
    style, code = style_sheet(), script()
    policy = (
        f"default-src 'none'; script-src '{_hash(code)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    yield "<!doctype html>\n"
    yield '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield element("meta", http_equiv="Content-Security-Policy", content=policy)
    yield '\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
    yield f"<title>{text(title)}</title>\n"
    yield f"<style>{style}</style>\n</head>\n<body>\n"
    yield first_screen
    yield f'\n<script type="application/json" id="fc-meta">{meta}</script>\n'
    yield f'<script type="text/plain" id="fc-index">{index}</script>\n'
    for number, part in parts:
        yield f'<script type="text/plain" class="fc-part" id="fc-part-{number}">{part}</script>\n'
    yield f"<script>{code}</script>\n</body>\n</html>\n"


def _hash(source: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"
