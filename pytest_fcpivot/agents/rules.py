"""The bundled baseline: an agent that follows fixed rules, without a model, a network or randomness.

It calls the tool whose words the user used, if the conversation contains every required argument; otherwise it asks
back. Conversations and schemas are untrusted data: regular expressions in them are never run, every loop is bounded,
and malformed parts are treated as absent.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.model import FunctionCall, Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.core.model import PivotView

# Weights and thresholds, chosen by hand. A tool scores 1 for each word of its name that the user said, and for each
# argument in the last turn.
_DESCRIPTION_WORD = 0.5  # a word of the description counts less: a long description shares some word with any turn
_ENOUGH_AT_START = 1.5  # before the first call, a look-up is the likely next step, but one match alone may be chance
_ENOUGH_LATER = 2.0  # after the first results, most turns are answered with a message, so a call needs two matches
_ENOUGH_AFTER_IDENTIFYING = 0.0  # users identify themselves for a purpose, so a look-up usually follows
_FEW_WORDS = 4  # a turn of fewer words answers a question; the request itself was in an earlier turn

# Limits on the input, far above any real conversation; they only bound the running time.
_MAX_TEXT = 4_000  # characters of one text
_MAX_ITEMS = 400
_MAX_FACTS = 1_500
_MAX_TOOLS = 200
_MAX_PARTS = 100  # of one object, list or text
_MAX_FILLS = 500  # values of all calls that are tried
_MAX_DEPTH = 6
_MAX_TURNS = 5  # user turns that count, newest first


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_STOP = _set(
    """
    a about all also am an and any are as at be been but by can could did do does for from get go had has have he her
    here hi hello him his how i if in into is it its just let like list me more my need new no not now of ok on one or
    our out over please read search set she so some such than thank thanks that the their them then there these they
    this those to too up us use want was we were what when where which who why will with would yes you your
    """
)
_LOOKUPS = _set("get list search find check read lookup track verify fetch show view describe identify")
_IDENTIFY = _set("find verify identify authenticate login")
_YES = _set("yes yep yeah yup ok okay sure confirm confirmed correct agreed exactly perfect absolutely")
_NO = _set("no not don't dont without never off disable stop")
_IDS = _set("id ids number no code key ref reference sku isbn barcode locator uuid token")

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS = re.compile(r"[^\W_]+(?:'[a-z]+)?")
_TOKEN = re.compile(r"[#\w][\w/.@+#-]{0,80}\w")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,5}")
_PHONE = re.compile(r"\+\d[\d ()-]{6,18}\d")
_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")
_NUMBER = re.compile(r"(?<![\w.#/:-])\d{1,12}(?:\.\d{1,6})?(?![\w#/-]|[.:,]\d)")
_NAME = re.compile(r"\b[^\W\d_a-z][^\W\d_]*(?:[ '\u2019-][^\W\d_a-z][^\W\d_]+){0,3}\b")
_NOT_LITERAL = re.compile(r"\[[^\]]{0,60}\]|\\.|\{[\d,]*\}|[^\w#@:/ -]")  # in a pattern


@lru_cache(maxsize=8192)
def _stem(word: str) -> str:
    """Cut a word's ending crudely: enough to bring "reserve" and "reservation" together."""
    for ending in ("'s", "ing", "ies", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return word[: -len(ending)][:6]
    return word[:6]


def _words(text: Any) -> list[str]:
    """Split a text or an identifier into lower-case words."""
    return _WORDS.findall(_CAMEL.sub(" ", text[:_MAX_TEXT]).lower()) if isinstance(text, str) else []


def _stems(text: Any) -> set[str]:
    return {_stem(word) for word in _words(text) if word not in _STOP}


def _topic(name: str) -> frozenset[str]:
    """Return the subject of a key or a parameter: the stems of its words, without "id", "number" and the like."""
    words = set(_words(name))
    return frozenset(map(_stem, words - _IDS or words))


def _verb(tool_name: Any) -> str:
    return (_words(tool_name) or [""])[0]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value[:_MAX_PARTS] if isinstance(value, list) else []


def _text(content: Any) -> str:
    """Return the text of a message or an output, which may be a string or a list of parts."""
    parts = [content] if isinstance(content, str) else [_dict(part).get("text") for part in _list(content)]
    return "\n".join(part for part in parts if isinstance(part, str))


def _decode(text: Any) -> Any:
    """Decode JSON text; None if it is none."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return None


def _facts(data: Any) -> Iterator[tuple[str, str | float]]:
    """Walk decoded data, breadth first, and yield its strings and numbers with their keys."""
    level: list[tuple[str, Any]] = [("", data)]
    for _ in range(_MAX_DEPTH):
        below: list[tuple[str, Any]] = []
        for key, node in level:
            if isinstance(node, dict):
                parts = islice(node.items(), _MAX_PARTS)
                below += [(f"{key}_id" if name == "id" else name, value) for name, value in parts]
            elif isinstance(node, list):
                below += [(key.removesuffix("s"), value) for value in _list(node)]
            elif isinstance(node, str | int | float) and not isinstance(node, bool):
                yield key, node
        level = below[:_MAX_FACTS]


class _Talk:
    """The facts about a conversation that the rules use; all lists are newest first."""

    def __init__(self, items: Any) -> None:
        self.users: list[str] = []
        self.proposal = ""  # the assistant's last message
        self.calls: list[tuple[Any, Any]] = []
        self.known: dict[frozenset[str], list[str | float]] = {}  # by topic: values from tools' results and arguments
        given: set[str] = set()  # the values from arguments
        self.answered = False  # the conversation ends with a tool's result
        latest: set[str] = set()  # the values of that result
        served: set[str] = set()  # words of the tools called since the last user turn
        for item in map(_dict, reversed(items[-_MAX_ITEMS:] if isinstance(items, list) else [])):
            kind, role = item.get("type"), item.get("role")
            facts: list[tuple[str, str | float]] = []
            if kind == "function_call":
                self.calls.append((item.get("name"), _decode(item.get("arguments")) or {}))
                facts = list(_facts(self.calls[-1][1]))
                given |= {str(value) for _, value in facts}
                served |= set() if self.users else _stems(item.get("name"))
            elif kind == "function_call_output":
                facts = list(_facts(_decode(_text(item.get("output")) or item.get("output"))))
                if not (self.calls or self.users or self.proposal):
                    self.answered = True
                    latest |= {str(value) for _, value in facts}
            elif role == "user":
                self.users.append(_text(item.get("content"))[:_MAX_TEXT])
            elif role == "assistant":
                self.proposal = self.proposal or _text(item.get("content"))[:_MAX_TEXT]
            for key, value in facts:
                self.known[_topic(key)] = [*self.known.get(_topic(key), []), value][:_MAX_PARTS]
        self.now = self.users[0] if self.users else ""
        # A "yes" confirms only if the assistant asked a question, and if it is not a question itself.
        yes = not _YES.isdisjoint(_words(self.now)[:_FEW_WORDS]) and "?" not in self.now
        confirmed = [self.proposal] if yes and "?" in self.proposal else []
        self.texts = [self.now, *confirmed, *self.users[1:_MAX_TURNS]]
        self.wanted = _stems(self.now)
        if confirmed or len(self.wanted) < _FEW_WORDS:
            self.wanted |= _stems(" ".join(self.texts[1:2]))
        self.wanted -= served
        self.news = latest - given


def _cued(words: set[str], text: str, match: re.Match[str]) -> bool:
    """Return whether one of the words is among the three words before a match."""
    return not words.isdisjoint(_words(text[max(0, match.start() - 40) : match.start()])[-3:])


def _names(words: set[str], text: str) -> list[str]:
    """Return the capitalised names of a text, but not the words that only start a sentence."""
    found = []
    for match in islice(_NAME.finditer(text), _MAX_PARTS):
        before, after = text[: match.start()].rstrip(" ")[-1:], text[match.end() : match.end() + 1]
        starts = before in ("", *".!?:\n") and " " not in match[0] and after not in ",;"
        if not starts and match[0].split(" ")[0].split("'")[0].lower() not in _STOP:
            apart = (before in ",;/(\n") + (after in ",.;)!?\n")  # as in "Doe, 1970-01-01"
            found.append((not _cued(words, text, match), -apart, match[0]))
    names = [name for *_, name in sorted(found, key=lambda rank: rank[:2])]
    first, last = words & {"first", "given", "firstname"}, words & {"last", "family", "lastname", "surname"}
    return [name.split(" ")[-1 if last else 0] if first or last else name for name in names]


def _ids(words: set[str], pattern: str, text: str) -> tuple[list[str], list[str]]:
    """Return the tokens of a text that certainly are an id of this kind, and those that may be one, likeliest first."""
    # The pattern is never run; a token that contains its literal parts, such as a prefix, counts as a match.
    literals = [literal for literal in _NOT_LITERAL.split(pattern[:_MAX_PARTS]) if literal]
    tokens = list(islice(_TOKEN.finditer(text), _MAX_PARTS))
    if literals:
        return [token[0] for token in tokens if all(literal in token[0] for literal in literals)], []
    tokens = [token for token in tokens if any(char.isdigit() for char in token[0]) and "." not in token[0]]
    tokens.sort(key=lambda token: not any(char.isupper() for char in token[0]))
    cued = [token[0] for token in tokens if _cued(words, text, token)]
    return cued, [token[0] for token in tokens if token[0] not in cued]


class _Filler:
    """Finds the arguments of calls in a conversation."""

    def __init__(self, talk: _Talk) -> None:
        self.talk = talk
        self.fills = 0

    def arguments(self, parameters: Any) -> dict[str, Any] | None:
        """Return the required arguments of one call; None if one is not found."""
        self.root, self.used = _dict(parameters), set[str]()
        return self._object(self._resolve(parameters), 0)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any] | None:
        """Fill only the required properties, since a superfluous optional argument would make the call wrong."""
        properties, filled = _dict(schema.get("properties")), {}
        for name in _list(schema.get("required")):
            value = self._fill(name, properties.get(name), depth + 1) if isinstance(name, str) else None
            if value is None:
                return None
            filled[name] = value
        return filled

    def _resolve(self, part: Any) -> dict[str, Any]:
        """Follow references inside the schema, and pick the first branch of a union that is not null."""
        schema = _dict(part)
        for _ in range(_MAX_DEPTH):
            if isinstance(schema.get("$ref"), str):
                target: Any = self.root
                for step in filter(None, schema["$ref"].removeprefix("#").split("/")[:_MAX_DEPTH]):
                    target = _dict(target).get(step)
                schema = _dict(target)
            branches = [_dict(b) for key in ("anyOf", "oneOf", "allOf") for b in _list(schema.get(key))]
            schema = next((branch for branch in branches if branch.get("type") != "null"), schema)
        return schema

    def _fill(self, name: str, part: Any, depth: int) -> Any:
        """Return a value for one parameter, or None."""
        schema = self._resolve(part)
        self.fills += 1
        if depth > _MAX_DEPTH or self.fills > _MAX_FILLS:
            return None
        kind = next((kind for kind in _list(schema.get("type")) if kind != "null"), schema.get("type"))
        if isinstance(schema.get("enum"), list):
            return self._option(_list(schema["enum"]))
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            value = self._fill(name.removesuffix("s"), schema.get("items"), depth + 1)
            return None if value is None else [value]
        if kind == "boolean":
            said = [words for words in map(_words, self.talk.texts) if not _stems(name).isdisjoint(map(_stem, words))]
            return _NO.isdisjoint(said[0]) if said else None  # true, unless the newest text that mentions it says no
        return self._number(name, kind) if kind in ("integer", "number") else self._string(name, schema)

    def _option(self, options: list[Any]) -> str | None:
        """Return the option whose words all occur in the same text, the newest one possible; None without one."""
        said = [_stems(text) for text in self.talk.texts]
        named = [(option, _stems(option)) for option in options if isinstance(option, str) and _stems(option)]
        return next((option for stems in said for option, words in named if words <= stems), None)

    def _number(self, name: str, kind: Any) -> float | None:
        """Return a number that follows a word of the parameter's name, else a known value; None without either."""
        for text in self.talk.texts:
            for match in islice(_NUMBER.finditer(text), _MAX_PARTS):
                if _cued(set(_words(name)), text, match) and not (kind == "integer" and "." in match[0]):
                    return float(match[0]) if "." in match[0] else int(match[0])
        fitting = int if kind == "integer" else (int, float)
        return next((value for value in self.talk.known.get(_topic(name), []) if isinstance(value, fitting)), None)

    def _string(self, name: str, schema: dict[str, Any]) -> str | None:
        """Return a string: by its form in the last turn, else a known value, else by its form in earlier turns."""
        (sure, maybe), *older = [self._spelled(set(_words(name)), schema, text) for text in self.talk.texts]
        known = [value for value in self.talk.known.get(_topic(name), []) if isinstance(value, str)]
        before = [value for found in older for values in found for value in values]
        value = next((value for value in [*sure, *known, *maybe, *before] if value not in self.used), None)
        self.used |= set() if value is None else {value}  # no word serves two parameters
        return value

    def _spelled(self, words: set[str], schema: dict[str, Any], text: str) -> tuple[list[str], list[str]]:
        """Return the values in a text that have the parameter's form: the certain ones, and the possible ones."""
        if schema.get("format") == "email" or words & {"email", "mail"}:
            return _EMAIL.findall(text), []
        if words & {"phone", "telephone", "mobile"}:
            return _PHONE.findall(text), []
        if schema.get("format") == "date" or words & {"date", "birth", "birthday", "dob"}:
            return _DATE.findall(text), []
        if "pattern" in schema or any(word in _IDS or word.endswith(("code", "number")) for word in words):
            return _ids(words, str(schema.get("pattern") or ""), text)
        return (_names(words, text), []) if words & {"name", "surname", "lastname", "firstname"} else ([], [])


class RuleAgent:
    """An agent that answers a pivot by rules: with one call of the best-scoring tool, or with a message."""

    def __call__(self, pivot: PivotView) -> FunctionCall | Message:
        """Return the action for one pivot; never raises, however malformed the data are."""
        tools: Any = pivot.tools
        talk = _Talk(pivot.input)
        filler, said = _Filler(talk), " ".join(talk.users)
        best: FunctionCall | Message = Message("Could you tell me a little more about that, please?")
        best_score = _ENOUGH_LATER if talk.calls and not talk.answered else _ENOUGH_AT_START
        if talk.answered and talk.calls and _verb(talk.calls[0][0]) in _IDENTIFY:
            best_score = _ENOUGH_AFTER_IDENTIFYING
        for tool in map(_dict, tools[:_MAX_TOOLS] if isinstance(tools, list) else []):
            name = tool.get("name")
            lookup = _verb(name) in _LOOKUPS
            if not isinstance(name, str) or not (lookup or talk.calls):
                continue  # a tool that changes something is never called before the first look-up
            arguments = filler.arguments(tool.get("parameters"))
            if arguments is None or (name, arguments) in talk.calls:
                continue
            values = [str(value) for value in arguments.values()]
            if talk.answered and not (lookup and any(v in talk.news and v not in said for v in values)):
                continue  # a result is answered with a message, unless it contains a new value to look up
            names = _stems(name)
            score: float = len(names & talk.wanted) + sum(value in talk.now for value in values)
            score += _DESCRIPTION_WORD * len((_stems(tool.get("description")) - names) & talk.wanted)
            if score > best_score or (score == best_score and isinstance(best, Message)):
                best, best_score = FunctionCall(name, arguments), score
        return best


baseline = RuleAgent()
