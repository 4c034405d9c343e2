"""`fcpivot serve`: serve data as environments of the Open Reward Standard (ORS)."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.cli.selecting import add_selection, selection_of
from pytest_fcpivot.core.errors import FcPivotError, OptionError

if TYPE_CHECKING:
    from pytest_fcpivot.serve.environments import Environment
    from pytest_fcpivot.serve.judging import JudgeSettings

_HIGHEST_PORT = 65535


def add(commands: Any) -> None:
    """Declare the command and its options."""
    command = commands.add_parser(
        "serve",
        help="serve data as environments of the Open Reward Standard (ORS)",
        description="Serves data as environments of the Open Reward Standard (ORS), in which trainers and others open "
        "sessions: each pivot is a task with its own tools, and one call of a tool brings its reward. It runs until "
        "Ctrl-C or SIGTERM.",
    )
    command.add_argument(
        "data",
        nargs="+",
        metavar="[NAME=]DATA",
        help="a data file, as for --fc-data; its environment is called NAME, or else fcpivot or agentic, by its shape",
    )
    command.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: 127.0.0.1)")
    command.add_argument("--port", type=_port, default=8080, help="the port to listen at (default: 8080); 0: any")
    command.add_argument(
        "--tools",
        choices=("per-task", "generic"),
        default="per-task",
        help="per-task: each task has its pivot's own tools and submit_message (the default); generic: all tasks have "
        "call_function and submit_message, and the prompt lists the functions, for trainers that bind tools once",
    )
    command.add_argument(
        "--grader", metavar="SPEC", help="the grader, as for --fc-grader (default: as the data ask for)"
    )
    command.add_argument(
        "--grader-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the grader; may be given several times",
    )
    judge = command.add_argument_group("the judge of messages, under the grader agentic")
    judge.add_argument(
        "--judge",
        metavar="MODEL",
        help="the model that judges messages, or off (default: gpt-5-mini if there is a key, which a session may also "
        "bring as its secret openai_api_key; else messages are scored by keyword overlap)",
    )
    judge.add_argument("--judge-base-url", metavar="URL", help="the judge's server, if it is not OpenAI's own")
    judge.add_argument("--judge-key", metavar="VARIABLE", help="the environment variable that holds the judge's key")
    judge.add_argument("--judge-api", choices=("auto", "responses", "chat"), default="auto", help="the judge's API")
    judge.add_argument(
        "--judge-fallback",
        choices=("error", "keyword"),
        default="error",
        help="what becomes of a message if the judge fails, or if there is no key for it (default: error)",
    )
    command.add_argument(
        "--token-env", metavar="VARIABLE", help="the environment variable with a token that clients must send"
    )
    command.add_argument(
        "--idle", type=_seconds, default=900.0, metavar="S", help="close sessions silent for so long (default: 900 s)"
    )
    add_selection(command, "which pivots, as by the options of pytest that begin with --fc-")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    try:
        return _serve(options)
    except FcPivotError as error:
        # Some of its parts also belong to pytest's session, whose options they name.
        said = str(error).replace("--fc-bad-rows=skip", "--bad-rows=skip to fcpivot prepare").replace("--fc-", "--")
        if said == str(error):
            raise
        raise OptionError(said) from None


def _serve(options: argparse.Namespace) -> int:
    from pytest_fcpivot.options.values import settings_of  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.serve import serving  # noqa: PLC0415

    serving.refuse_without_server()
    address = serving.Address(options.host, options.port, options.token_env)
    token = serving.token_of(address)
    judge = _judge(options)
    wanted = serving.Wanted(
        options.data,
        selection_of(options),
        options.tools,
        options.grader,
        dict(settings_of(options.grader_option, "--grader-option")),
    )
    with serving.listen(address) as listener, ExitStack() as opened:  # data may take a while to open, and the port not
        environments = serving.open_environments(wanted)
        for environment in environments:
            opened.callback(environment.store.close)
        _refuse_odd(options, environments)
        app = serving.make_app(environments, options.tools, judge, token=token, idle_s=options.idle)
        for environment in environments:
            say(_described(environment, judge, options))
        host = listener.getsockname()[0]
        if token is None and not ip_address(host.partition("%")[0]).is_loopback:
            print(
                f"warning: other machines can reach {host}, and everybody there may use the server; ask for a token "
                "with --token-env",
                file=sys.stderr,
            )
        serving.run(app, listener, lambda where: say(f"serving at {where} (Ctrl-C ends it)"))
    say("ended")
    return 0


def _judge(options: argparse.Namespace) -> JudgeSettings | None:
    """Return how messages are judged; None if they never are. Raises OptionError for a judge that nobody can ask."""
    import os  # noqa: PLC0415 (only for this command)

    from pytest_fcpivot.graders.base import OFF  # noqa: PLC0415

    if options.judge == OFF:
        return None
    from importlib.util import find_spec  # noqa: PLC0415

    if options.judge is None and find_spec("openai") is None:
        return None
    from pytest_fcpivot.agents.openai.settings import OPENAI_KEY  # noqa: PLC0415
    from pytest_fcpivot.graders.judge import DEFAULT_MODEL  # noqa: PLC0415
    from pytest_fcpivot.serve.judging import JudgeSettings  # noqa: PLC0415

    variable = options.judge_key or OPENAI_KEY
    own_server = options.judge_base_url is not None or bool(os.environ.get("OPENAI_BASE_URL", "").strip())
    has_key = bool(os.environ.get(variable, "").strip()) or (own_server and options.judge_key is None)
    fallback = options.judge_fallback == "keyword"
    asked = options.judge is not None or options.judge_base_url is not None or options.judge_key is not None
    if asked and not has_key and not fallback:
        name = options.judge or DEFAULT_MODEL
        raise OptionError(
            f"--judge={name}: there is no key for it: set {variable}; or pass --judge-fallback=keyword, by which "
            "messages are scored by keyword overlap in sessions that do not bring openai_api_key"
        )
    return JudgeSettings(
        options.judge or DEFAULT_MODEL,
        options.judge_base_url,
        options.judge_key if has_key else None,
        options.judge_api,
        fallback,
        has_key and (asked or not own_server),
    )


def _refuse_odd(options: argparse.Namespace, environments: list[Environment]) -> None:
    from pytest_fcpivot.graders.base import OFF  # noqa: PLC0415 (only for this command)

    given = {"judge": options.judge, "judge-base-url": options.judge_base_url, "judge-key": options.judge_key}
    asked = next((f"--{name}={value}" for name, value in given.items() if value not in (None, OFF)), None)
    if asked is None or any(environment.scores_messages for environment in environments):
        return
    graders = ", ".join(dict.fromkeys(environment.grader.name for environment in environments))
    raise OptionError(f"{asked}: {graders} does not score messages; leave it out, or pass --grader=agentic")


def _described(environment: Environment, judge: JudgeSettings | None, options: argparse.Namespace) -> str:
    splits = ", ".join(f"{len(split.rows):,} {split.name}" for split in environment.splits.values())
    parts = [f"{environment.name}: {splits}", f"graded by {environment.grader.name}", f"{options.tools} tools"]
    if environment.scores_messages:
        parts.append(_who_judges(judge))
    if environment.left_out:
        parts.append(f"{environment.left_out:,} pivots left out, since {environment.grader.name} cannot judge one call")
    return "; ".join(parts)


def _who_judges(judge: JudgeSettings | None) -> str:
    if judge is None:
        return "messages scored by keyword overlap"
    if judge.has_key:
        return f"messages judged by {judge.model}"
    return f"messages scored by keyword overlap, or by {judge.model} in sessions that bring openai_api_key"


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text}: a number from 0 to {_HIGHEST_PORT} is needed")
    return int(text)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: a number of seconds is needed, at least 1")
    return number
