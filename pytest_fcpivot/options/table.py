"""The table of options: what each is called, what it means to a run, and how it is written on a command line.

`run.json` holds options by these names, so whoever reads a run needs the table; nothing here knows pytest.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Option(NamedTuple):  # a dataclass takes five times as long to define, in every pytest session
    """One option; `dest` is its name in run.json, from which the others are made."""

    dest: str
    metavar: str
    help: str
    kind: Literal["text", "list", "flag", "maybe"] = "text"  # maybe: the value may be left out
    # A resumed run takes over what the run was given; of what says what the run is about, it refuses another value.
    of_run: Literal["is about", "takes over", "no"] = "is about"

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.dest.replace("_", "-")

    @property
    def env(self) -> str:
        """Its name in the environment."""
        return self.dest.upper()


OPTIONS = (
    Option(
        "fc_agent", "MODULE:FN", "the agent to ask: module:fn, module:Class, module:Class.method, or a bundled name"
    ),
    Option("fc_data", "FILE", "data: .jsonl[.gz|.zst], .parquet, or 'sample' (default); may be given again", "list"),
    Option(
        "fc_grader",
        "NAME",
        "grader: nemo-gym (default: nemo-gym:first-call), nemo-gym:any-order, agentic (default for conversations), "
        "module:fn, or that of an installed package",
    ),
    Option(
        "fc_grader_option",
        "KEY=VALUE",
        "a setting of the grader, by its own name (nemo-gym: default by the data set); may be given again",
        "list",
    ),
    Option("fc_pass_mark", "MARK", "the least reward that passes, over 0 and up to 1 (default: 1)"),
    Option("fc_judge", "MODEL|off", "model that scores messages, for grader agentic (default: gpt-5-mini, with a key)"),
    Option("fc_judge_base_url", "URL", "the judge's address, when it is not OpenAI's own"),
    Option("fc_judge_api", "API", "the judge's API: auto (default), responses or chat"),
    Option(
        "fc_judge_key",
        "VARIABLE",
        "environment variable with the judge's key (default: OPENAI_API_KEY)",
        of_run="takes over",
    ),
    Option(
        "fc_judge_fallback",
        "error|keyword",
        "a message that the judge does not score is an error (default), or scored by keyword overlap",
    ),
    Option(
        "fc_judge_concurrency",
        "N",
        "calls of the judge under way at once, in each process (default: as --fc-concurrency)",
        of_run="takes over",
    ),
    Option("fc_repeats", "K", "ask at each pivot K times (default: 1)"),
    Option("fc_limit", "N", "run only the first N pivots of what is selected"),
    Option("fc_split", "NAME", "run only pivots of this split"),
    Option(
        "fc_where",
        "COLUMN=VALUE",
        "run only pivots that meet this, as in depth>=4; may be given again, all apply",
        "list",
    ),
    Option("fc_ids", "FILE", "run only the pivots that a file names, one id a line"),
    Option("fc_stratify", "", "share --fc-sample among messages, calls and batches as they share the data", "flag"),
    Option("fc_sample", "N", "run N pivots chosen at random by --fc-seed"),
    Option("fc_seed", "SEED", "seed of --fc-sample (default: 0)"),
    Option("fc_shard", "I/N", "run shard I of N, from 1; whole trajectories stay together"),
    Option("fc_concurrency", "N", "calls under way at once, in each process (default: 16)", of_run="takes over"),
    Option(
        "fc_timeout", "SECONDS", "time limit of one attempt at an answer (default: 300; 0: none)", of_run="takes over"
    ),
    Option(
        "fc_retries",
        "N",
        "further attempts after a fault of the service (default: 5, or 90 s, for the openai agents, else 0)",
        of_run="takes over",
    ),
    Option(
        "fc_deadline",
        "SECONDS",
        "time limit of one answer with all attempts (default: 3 times --fc-timeout; 0: none)",
        of_run="takes over",
    ),
    Option(
        "fc_max_errors",
        "N|P%%",
        "stop when more than N tests, or P percent of them, end in errors",
        of_run="takes over",
    ),
    Option(
        "fc_max_unread",
        "N|P%%",
        "stop when more than N answers, or P percent of the tests', are malformed, cut off or calls written as text",
        of_run="takes over",
    ),
    Option("fc_run", "DIR|none", "where to record the run (default: a new directory under .fcpivot)", of_run="no"),
    Option("fc_resume", "DIR", "go on with a run: the latest, or =DIR", "maybe", of_run="no"),
    Option("fc_replay", "PATH", "grade the answers of a run, or of NeMo Gym's rollouts.jsonl, again", of_run="no"),
    Option(
        "fc_allow_damaged",
        "",
        "replay a run whose results have lines that cannot be read, without these",
        "flag",
        of_run="no",
    ),
    Option("fc_strict_schema", "", "arguments that break their tool's schema earn no reward", "flag"),
    Option(
        "fc_empty_arguments",
        "text|object",
        'arguments that the model\'s server sent as null, "" or not at all: the empty text, which does not decode '
        "(default), or {}",
    ),
    Option("fc_bad_rows", "refuse|skip", "broken rows: refuse the file (default), or skip and count them"),
    Option("fc_model", "NAME", "openai agents: the model"),
    Option("fc_base_url", "URL", "openai agents: the API's address, when it is not OpenAI's own"),
    Option("fc_temperature", "T", "openai agents: sampling temperature"),
    Option("fc_top_p", "P", "openai agents: nucleus sampling"),
    Option("fc_max_output_tokens", "N", "openai agents: limit of an answer's tokens"),
    Option("fc_reasoning_effort", "LEVEL", "openai agents: low, medium, high, or what the model knows"),
    Option("fc_tool_choice", "CHOICE", "openai agents: auto, none, required, or a tool's name"),
    Option("fc_parallel_tool_calls", "true|false", "openai agents: allow several calls (default: as the pivot says)"),
    Option("fc_extra_body", "JSON", "openai agents: further fields of the request, as one JSON object"),
    Option(
        "fc_omit",
        "FIELD",
        "openai agents: leave a field out of the request, as in parallel_tool_calls; may be given again",
        "list",
    ),
    Option("fc_message_tool", "", "openai agents: offer the tool submit_message, and require a call", "flag"),
    Option(
        "fc_header",
        "NAME:VALUE",
        "openai agents: a header; $VARIABLE in it is replaced; may be given again",
        "list",
        of_run="takes over",
    ),
    Option(
        "fc_price",
        "IN/CACHED/OUT",
        "price of a million tokens: input, cached input, output; adds the cost",
        of_run="takes over",
    ),
)
KINDS = {option.dest: option.kind for option in OPTIONS}
ABOUT_THE_RUN = frozenset(option.dest for option in OPTIONS if option.of_run == "is about")
# Options that any run may bring along, whoever made it. They decide how much is asked and how it is counted, and name
# nothing: no code, address, key or file. SECURITY.md has the reasons.
FROM_ANY_RUN = frozenset(
    (
        *("fc_pass_mark", "fc_repeats", "fc_limit", "fc_split", "fc_where", "fc_stratify", "fc_sample", "fc_seed"),
        *("fc_shard", "fc_concurrency", "fc_timeout", "fc_retries", "fc_deadline", "fc_max_errors", "fc_max_unread"),
        *("fc_strict_schema", "fc_empty_arguments", "fc_bad_rows", "fc_price"),
        *("fc_judge", "fc_judge_api", "fc_judge_fallback", "fc_judge_concurrency"),
        *("fc_model", "fc_temperature", "fc_top_p", "fc_max_output_tokens", "fc_reasoning_effort", "fc_tool_choice"),
        *("fc_parallel_tool_calls", "fc_omit", "fc_message_tool"),
    )
)
# All others, those of tomorrow too, are taken over from a run that was made here alone.
MADE_HERE_ONLY = frozenset(option.dest for option in OPTIONS if option.of_run != "no") - FROM_ANY_RUN
DEFAULT_PASS_MARK = 1.0
DEFAULT_TIMEOUT_S = 300.0
DEFAULT_CONCURRENCY = 16
MOST_REPEATS = 1000
LATEST = "latest"
NO_RUN = "none"
FROM_RUN = "run.json"  # the name that an option is given under which a stored run was given
TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


def option_of(dest: str) -> Option:
    """Return the option of a name, as run.json has it."""
    return next(option for option in OPTIONS if option.dest == dest)


def without(arguments: Sequence[str], dest: str) -> list[str]:
    """Return a command line without an option and its value."""
    option = option_of(dest)
    kept, position = [], 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        if argument == option.flag:
            value_may_follow = option.kind == "maybe" and position < len(arguments)
            if option.kind in ("text", "list") or (value_may_follow and not arguments[position].startswith("-")):
                position += 1
        elif not argument.startswith(f"{option.flag}="):
            kept.append(argument)
    return kept


def as_arguments(dest: str, value: Any) -> list[str]:
    """Write an option's raw value as it would be given on a command line."""
    option = option_of(dest)
    if option.kind == "flag":
        return [option.flag] if str(value).lower() in TRUE else []
    if option.kind == "list":
        return [f"{option.flag}={each}" for each in (value if isinstance(value, list) else _split(str(value)))]
    return [f"{option.flag}={value}"]


def _split(text: str) -> list[str]:
    """Take apart the values of a list, as the environment and ini files have it; one that cannot be is one value."""
    try:
        return shlex.split(text)
    except ValueError:  # a quote without its other half
        return [text]
