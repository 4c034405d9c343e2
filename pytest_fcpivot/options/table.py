"""The table of options: their names, their help, and how a resumed run treats them.

`run.json` holds options by these names, so that readers of runs need the table too. It does not depend on pytest.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


def flag_of(dest: str) -> str:
    """Return an option's name on the command line, also of one that this version does not know."""
    return "--" + dest.replace("_", "-")


class Option(NamedTuple):  # not a dataclass, which takes five times as long to define, in every pytest session
    """One option; `dest` is its name in run.json and in ini files, from which its other names are derived."""

    dest: str
    metavar: str
    help: str
    kind: Literal["text", "list", "flag", "maybe", "maybe list"] = "text"  # maybe: the value is optional
    # What happens to the option when a run is resumed. "is about": the run's value is kept, and another one is refused.
    # "takes over": the run's value is kept unless the option is given again. "no": the run's value is not used.
    of_run: Literal["is about", "takes over", "no"] = "is about"
    bare: str = ""  # the value of an option that is given without one, if its value is optional

    @property
    def flag(self) -> str:
        """The option's name on the command line."""
        return flag_of(self.dest)

    @property
    def env(self) -> str:
        """The option's name in the environment."""
        return self.dest.upper()


LATEST = "latest"
DEFAULT_STOP_ALPHA = "0.05"
OPTIONS = (
    Option(
        "fc_agent",
        "MODULE:FN",
        "the agent to test: module:function, module:Class, module:Class.method, or a bundled agent such as baseline or "
        "openai",
    ),
    Option(
        "fc_data",
        "FILE",
        "data file: .jsonl, .jsonl.gz, .jsonl.zst, .parquet, or 'sample', the bundled one (default: sample); may be "
        "given several times",
        "list",
    ),
    Option(
        "fc_grader",
        "NAME",
        "grader of the answers: nemo-gym (default, as nemo-gym:first-call), nemo-gym:any-order, agentic (default for "
        "conversations), module:function, or a name that an installed package defines",
    ),
    Option(
        "fc_grader_option",
        "KEY=VALUE",
        "a setting of the grader, under the grader's own name for it (default for nemo-gym: depends on the data set); "
        "may be given several times",
        "list",
    ),
    Option("fc_pass_mark", "MARK", "the lowest reward that passes, more than 0 and at most 1 (default: 1)"),
    Option(
        "fc_judge",
        "MODEL|off",
        "model that scores messages for the grader agentic, or off (default: gpt-5-mini if there is an API key, "
        "otherwise off)",
    ),
    Option("fc_judge_base_url", "URL", "base URL of the judge's API (default: OPENAI_BASE_URL, otherwise OpenAI's)"),
    Option("fc_judge_api", "API", "API of the judge's server: responses, chat, or auto to try both (default: auto)"),
    Option(
        "fc_judge_key",
        "VARIABLE",
        "name of the environment variable with the judge's API key (default: OPENAI_API_KEY)",
        of_run="takes over",
    ),
    Option(
        "fc_judge_fallback",
        "error|keyword",
        "if the judge fails to score a message: error (default), or keyword to score it by keyword overlap",
    ),
    Option(
        "fc_judge_concurrency",
        "N",
        "number of the judge's calls in flight at once, in each process (default: that of --fc-concurrency)",
        of_run="takes over",
    ),
    Option("fc_repeats", "K", "ask the agent K times at each pivot (default: 1)"),
    Option(
        "fc_until_mixed",
        "",
        "with --fc-repeats: ask at a pivot no further once its answers have passed and failed, to find the pivots that "
        "a policy solves sometimes; gives no pass rate",
        "flag",
    ),
    Option("fc_limit", "N", "run only the first N of the selected pivots"),
    Option("fc_split", "NAME", "run only the pivots of this split of the data"),
    Option(
        "fc_where",
        "COLUMN=VALUE",
        "run only pivots that meet a condition, as in depth>=4; may be given several times, and then all must hold",
        "list",
    ),
    Option("fc_ids", "FILE", "run only the pivots whose ids are in this file, one id on each line"),
    Option(
        "fc_stratify",
        "",
        "make --fc-sample keep the data's proportions of messages, single calls and batches of calls",
        "flag",
    ),
    Option("fc_sample", "N", "run N pivots chosen at random, the same ones for the same --fc-seed"),
    Option(
        "fc_seed",
        "SEED",
        "seed for --fc-sample, for the order of --fc-stop-when-decided, and for the model if --fc-repeats is over 1 "
        "(default: 0)",
    ),
    Option("fc_shard", "I/N", "run shard I of N, counted from 1; pivots of one trajectory are in the same shard"),
    Option(
        "fc_concurrency",
        "N",
        "number of the agent's calls in flight at once, in each process (default: 16)",
        of_run="takes over",
    ),
    Option(
        "fc_timeout",
        "SECONDS",
        "time limit in seconds of each attempt at an answer; 0 for none (default: 300)",
        of_run="takes over",
    ),
    Option(
        "fc_retries",
        "N",
        "number of retries after a fault of the service (default: 0; for the openai agents 5, or as many as fit into "
        "90 s while the service is away)",
        of_run="takes over",
    ),
    Option(
        "fc_deadline",
        "SECONDS",
        "time limit in seconds of one answer with all its retries; 0 for none (default: 3 times --fc-timeout)",
        of_run="takes over",
    ),
    Option(
        "fc_max_errors",
        "N|P%",
        "stop when more than N tests, or more than P percent of all tests, end in errors (default: never)",
        of_run="takes over",
    ),
    Option(
        "fc_max_unread",
        "N|P%",
        "stop when more than N answers, or those of more than P percent of all tests, are malformed, cut off, or calls "
        "written as text (default: never)",
        of_run="takes over",
    ),
    Option(
        "fc_run",
        "DIR|none",
        "directory in which to record the run, or none (default: a new directory under .fcpivot)",
        of_run="no",
    ),
    Option(
        "fc_html",
        "FILE.html",
        "write the report of the run into this file at the end: one page that needs no network",
        of_run="no",
    ),
    Option(
        "fc_resume",
        "DIR",
        "resume an unfinished run: the latest, or the one in =DIR",
        "maybe",
        of_run="no",
        bare=LATEST,
    ),
    Option(
        "fc_replay",
        "PATH",
        "grade the stored answers of a run directory, or of NeMo Gym's rollouts.jsonl, without calling an agent",
        of_run="no",
    ),
    Option(
        "fc_allow_damaged",
        "",
        "with --fc-replay: leave out lines of results that cannot be read, instead of refusing the run",
        "flag",
        of_run="no",
    ),
    Option(
        "fc_strict_schema",
        "",
        "give reward 0 to calls of unknown tools, and to arguments that are invalid under their tool's JSON Schema",
        "flag",
    ),
    Option(
        "fc_empty_arguments",
        "text|object",
        'how to read a call\'s arguments that the server sent as null, "" or not at all: text, the empty text, which '
        "is not valid JSON (default), or object, meaning {}",
    ),
    Option(
        "fc_bad_rows",
        "refuse|skip",
        "if rows of the data cannot be read: refuse the file (default), or skip and count the rows",
    ),
    Option("fc_model", "NAME", "openai agents: name of the model"),
    Option(
        "fc_base_url",
        "URL",
        "openai agents: base URL of the API (default: OPENAI_BASE_URL, otherwise OpenAI's)",
    ),
    Option("fc_temperature", "T", "openai agents: sampling temperature (default: the server's)"),
    Option("fc_top_p", "P", "openai agents: nucleus sampling probability, from 0 to 1 (default: the server's)"),
    Option("fc_max_output_tokens", "N", "openai agents: most tokens of one answer (default: the server's)"),
    Option(
        "fc_reasoning_effort",
        "LEVEL",
        "openai agents: reasoning effort: low, medium, high, or another level of the model (default: the server's)",
    ),
    Option(
        "fc_tool_choice",
        "CHOICE",
        "openai agents: auto, none, required, or the name of a tool (default: as the pivot says)",
    ),
    Option(
        "fc_parallel_tool_calls",
        "true|false",
        "openai agents: whether one answer may have several calls (default: as the pivot says)",
    ),
    Option("fc_extra_body", "JSON", "openai agents: further fields of each request, as one JSON object"),
    Option(
        "fc_omit",
        "FIELD",
        "openai agents: a field to leave out of each request, such as parallel_tool_calls; may be given several times",
        "list",
    ),
    Option(
        "fc_message_tool",
        "",
        "openai agents: offer a tool submit_message for messages, and require every answer to be a call",
        "flag",
    ),
    Option(
        "fc_header",
        "NAME:VALUE",
        "openai agents: an HTTP header of each request; $VARIABLE in it is replaced from the environment; may be given "
        "several times",
        "list",
        of_run="takes over",
    ),
    Option(
        "fc_price",
        "IN/CACHED/OUT",
        "prices of a million tokens of input, cached input and output, as in 1.25/0.125/10, in USD, or in another "
        "currency that is named after them, as in '1.25/0.125/10 EUR'; shows the cost of the run",
        of_run="takes over",
    ),
    Option(
        "fc_progress",
        "auto|off|log|SECONDS",
        "how far the run is, while it runs: auto (default), a live line on a terminal, and otherwise a line of the log "
        "every 30 seconds; log or a number of seconds for such a line in any case; or off",
        of_run="no",
    ),
    Option(
        "fc_fail_under",
        "[GROUP:]MARK",
        "gate: fail if the mean reward is under this mark, as in 0.80; or that of a group, as in "
        "tool=get_booking:0.9, type=message:0.7 or 'where:depth>=4:0.6'; or the pass rate, as in pass:0.75; may be "
        "given several times",
        "list",
        of_run="takes over",
    ),
    Option(
        "fc_min_pivots",
        "N",
        "gate: give no verdict on a mark of --fc-fail-under over fewer than N pivots (default: 30)",
        of_run="takes over",
    ),
    Option(
        "fc_baseline",
        "RUN",
        "compare with this run: its directory, or a saved baseline (default: the one saved last); may be given several "
        "times, and then they count as repeats of one run",
        "maybe list",
        of_run="takes over",
        bare=LATEST,
    ),
    Option(
        "fc_max_drop",
        "DROP",
        "gate: fail if the mean reward is sure to have fallen by more than DROP since the baseline, as in 0.01",
        of_run="takes over",
    ),
    Option(
        "fc_alpha",
        "ALPHA",
        "how often the comparison with a baseline may be wrong if nothing has changed: its interval is one of "
        "1 - ALPHA (default: 0.05)",
        of_run="takes over",
    ),
    Option(
        "fc_inconclusive",
        "pass|fail|DROP",
        "gate: what an INCONCLUSIVE verdict does: pass (default), fail, or fail if a drop larger than DROP is still "
        "possible",
        of_run="takes over",
    ),
    Option(
        "fc_gated_cases",
        "failed|xfailed",
        "gate: report wrong answers as failed tests (default), or as xfailed ones, for CI that goes red on any failed "
        "test",
        of_run="takes over",
    ),
    Option(
        "fc_save_baseline",
        "NAME",
        "save the rewards of this run as a baseline, under a name or in a file that ends in .jsonl",
        of_run="no",
    ),
    Option(
        "fc_allow_errors",
        "",
        "with --fc-save-baseline: save a run in which tests ended in errors, without these",
        "flag",
        of_run="no",
    ),
    Option(
        "fc_stop_when_decided",
        "ALPHA",
        "gate: stop asking when the verdict on the whole run is certain but for ALPHA (default: 0.05)",
        "maybe",
        of_run="no",
        bare=DEFAULT_STOP_ALPHA,
    ),
)
KINDS = {option.dest: option.kind for option in OPTIONS}
ABOUT_THE_RUN = frozenset(option.dest for option in OPTIONS if option.of_run == "is about")
# Options that a session takes even from a run that somebody else made. They decide how much is asked and how it is
# counted, but name no code, address, key or file. SECURITY.md has the reasons.
FROM_ANY_RUN = frozenset(
    (
        *("fc_pass_mark", "fc_repeats", "fc_until_mixed", "fc_limit", "fc_split", "fc_where", "fc_stratify"),
        *("fc_sample", "fc_seed", "fc_shard", "fc_concurrency", "fc_timeout", "fc_retries", "fc_deadline"),
        *("fc_max_errors", "fc_max_unread"),
        *("fc_strict_schema", "fc_empty_arguments", "fc_bad_rows", "fc_price"),
        *("fc_judge", "fc_judge_api", "fc_judge_fallback", "fc_judge_concurrency"),
        *("fc_model", "fc_temperature", "fc_top_p", "fc_max_output_tokens", "fc_reasoning_effort", "fc_tool_choice"),
        *("fc_parallel_tool_calls", "fc_omit", "fc_message_tool"),
    )
)
# All other options, including future ones, are taken only from a run that was made here.
MADE_HERE_ONLY = frozenset(option.dest for option in OPTIONS if option.of_run != "no") - FROM_ANY_RUN
# Options that make a gate or a comparison, or belong to one.
OF_GATES = (
    *("fc_fail_under", "fc_min_pivots", "fc_baseline", "fc_max_drop", "fc_alpha", "fc_inconclusive"),
    *("fc_gated_cases", "fc_save_baseline", "fc_allow_errors", "fc_stop_when_decided"),
)
DEFAULT_PASS_MARK = 1.0
DEFAULT_TIMEOUT_S = 300.0
DEFAULT_CONCURRENCY = 16
MOST_REPEATS = 1000
LOG_EVERY_S = 30.0
NO_RUN = "none"
FROM_RUN = "run.json"  # for messages: the source of an option that comes from a stored run
TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


def option_of(dest: str) -> Option:
    """Return the option with this `dest`; raises StopIteration if there is none."""
    return next(option for option in OPTIONS if option.dest == dest)


def without(arguments: Sequence[str], dest: str) -> list[str]:
    """Return a command line without the option `dest` and its values."""
    option = option_of(dest)
    kept, position = [], 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        if argument == option.flag:
            value_may_follow = option.kind in ("maybe", "maybe list") and position < len(arguments)
            if option.kind in ("text", "list") or (value_may_follow and not arguments[position].startswith("-")):
                position += 1
        elif not argument.startswith(f"{option.flag}="):
            kept.append(argument)
    return kept


def as_arguments(dest: str, value: Any) -> list[str]:
    """Return an option's raw value as command-line arguments."""
    option = option_of(dest)
    if option.kind == "flag":
        return [option.flag] if str(value).lower() in TRUE else []
    if option.kind in ("list", "maybe list"):
        return [f"{option.flag}={each}" for each in (value if isinstance(value, list) else _split(str(value)))]
    return [f"{option.flag}={value}"]


def _split(text: str) -> list[str]:
    """Split the values of a list option as a shell would; text that cannot be split is one value."""
    try:
        return shlex.split(text)
    except ValueError:  # an unmatched quote
        return [text]
