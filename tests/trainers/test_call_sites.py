"""The reward functions under the trainers' own code: how they find one, call one, and read what it returns."""

from __future__ import annotations

import ast
import asyncio
import functools
import importlib.util
import inspect
import json
import logging
import math
import re
import sys
from collections import Counter, defaultdict
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from call_sites import options, package, parameters, settings, taken
from trainer_rows import AGENTIC, NEMO_GYM, as_message, as_text, pivot_with, pivots

from pytest_fcpivot import Action, DataError, FunctionCall, Pivot
from pytest_fcpivot.integrations import trl_rows, verl_rows
from pytest_fcpivot.integrations.trl import reward
from pytest_fcpivot.integrations.verl import compute_score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WRONG = Action((FunctionCall("no_such_tool", "{}"),))


# -------------------------------------------------------------------- verl


def verl_finds(module_name: str = "verl", **given: Any) -> Any:
    """Return the function that verl makes of the options `reward.custom_reward_function`."""
    verl = package("verl")
    place = importlib.util.spec_from_file_location("verl.utils.import_utils", verl / "utils" / "import_utils.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    names = ("_call_with_kwargs", "_call_with_kwargs_async", "get_custom_reward_fn")
    found = taken(verl / "trainer" / "ppo" / "reward.py", *names, inspect=inspect, partial=partial)
    path = f"pkg://pytest_fcpivot.integrations.{module_name}"
    chosen = {"custom_reward_function": {"path": path, "name": "compute_score", **given}}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("verl", "verl.utils"):
            patch.setitem(sys.modules, name, SimpleNamespace(__path__=[]))
        patch.setitem(sys.modules, "verl.utils.import_utils", module)
        return found["get_custom_reward_fn"](SimpleNamespace(reward=chosen))


class Tokenizer:
    """Stands in for a tokenizer: tokens are characters, and 0 fills up."""

    def decode(self, tokens: Any, *, skip_special_tokens: bool) -> str:
        """Return the text of tokens."""
        assert skip_special_tokens
        return "".join(map(chr, tokens))


def verl_item(pivot: Pivot, text: str, grader: dict[str, Any] = NEMO_GYM) -> list[Any]:
    """Return a generated answer as a reward manager gets it."""
    row = verl_rows.row(pivot, dialect="hermes", grader=grader, index=3, split="train")
    responses = np.array([*map(ord, text), 0, 0])
    mask = np.array([1] * 5 + [1] * len(text) + [0, 0])
    beside = {
        "data_source": np.array([row["data_source"]])[0],
        "reward_model": row["reward_model"],
        "extra_info": row["extra_info"],
        "tool_extra_fields": {"turn_scores": [], "tool_rewards": []},
        "__num_turns__": np.int32(2),
    }
    return [SimpleNamespace(batch={"responses": responses, "attention_mask": mask}, non_tensor_batch=beside)]


def verl_rewards(manager: str, name: str, score: Callable[..., Any], item: list[Any]) -> dict[str, Any]:
    """Return what a reward manager of verl makes of a generated answer."""
    path = package("verl") / "experimental" / "reward_loop" / "reward_manager" / f"{manager}.py"
    found = taken(
        path, name, RewardManagerBase=object, asyncio=asyncio, inspect=inspect, logger=logging.getLogger("verl")
    )

    async def run() -> Any:
        made: Any = object.__new__(found[name])
        made.__dict__ |= {
            "loop": asyncio.get_running_loop(),
            "tokenizer": Tokenizer(),
            "compute_score": score,
            "is_async_reward_score": inspect.iscoroutinefunction(score),
            "reward_router_address": "127.0.0.1:1",
            "reward_model_tokenizer": None,
            "overlong_buffer_cfg": None,
            "config": SimpleNamespace(trainer=SimpleNamespace(experiment_name="any")),
            "timeout": 60,
            "_rpm_limiter": None,
            "_tpm_limiter": None,
            "_semaphore": asyncio.Semaphore(1),
        }
        return await made.run_single(item)

    result: dict[str, Any] = asyncio.run(run())
    return result


MANAGERS = [
    ("naive", "NaiveRewardManager"),
    ("dapo", "DAPORewardManager"),
    ("gdpo", "GDPORewardManager"),
    ("limited", "RateLimitedRewardManager"),
]


@pytest.mark.parametrize(("manager", "name"), MANAGERS)
def test_verl_calls_the_function(manager: str, name: str) -> None:
    """The function is found by its path, and each manager of verl gets the reward, the outcome and the category."""
    score = verl_finds()
    for kind in ("function_call", "message"):
        pivot = pivot_with(kind)
        right = verl_rewards(manager, name, score, verl_item(pivot, as_text(pivot.expected_action)))
        wrong = verl_rewards(manager, name, score, verl_item(pivot, as_text(WRONG)))
        assert (right["reward_score"], wrong["reward_score"]) == (1.0, 0.0)
        assert (right["reward_extra_info"]["acc"], wrong["reward_extra_info"]["acc"]) == (1.0, 0.0)
        assert right["reward_extra_info"].keys() == wrong["reward_extra_info"].keys()
        assert right["reward_extra_info"]["category"] != wrong["reward_extra_info"]["category"]


def test_verl_passes_the_settings_on() -> None:
    """`reward_kwargs` choose another grader and pass mark than the row's."""
    pivot = pivot_with("function_call")
    text = as_text(Action((FunctionCall(pivot.expected_action.calls[0].name, '{"another": 1}'),)))
    score = verl_finds(reward_kwargs={"grader": "agentic", "pass_mark": 0.5})
    found = verl_rewards("naive", "NaiveRewardManager", score, verl_item(pivot, text))
    assert found["reward_extra_info"]["acc"] == 1.0
    assert found["reward_score"] == compute_score("any", text, **truth(pivot, AGENTIC))["score"]


def truth(pivot: Pivot, grader: dict[str, Any]) -> dict[str, Any]:
    """Return what the row of a pivot says about its grading."""
    row = verl_rows.row(pivot, dialect="hermes", grader=grader, index=3, split="train")
    return {"ground_truth": row["reward_model"]["ground_truth"], "extra_info": row["extra_info"]}


def test_verl_awaits_the_function_with_a_judge() -> None:
    """The function with a judge is found, taken for asynchronous and awaited; a call needs no judge."""
    pivot = pivot_with("function_call")
    score = verl_finds("judged", reward_kwargs={"judge": "any", "judge_base_url": "http://127.0.0.1:9/v1"})
    found = verl_rewards(
        "naive", "NaiveRewardManager", score, verl_item(pivot, as_text(pivot.expected_action), AGENTIC)
    )
    assert found["reward_score"] == 1.0


@pytest.mark.parametrize(("manager", "name"), MANAGERS[:3])
def test_a_broken_row_stops_verl(manager: str, name: str) -> None:
    """With these managers, a row without its tools ends the training, and is no reward of 0."""
    item = verl_item(pivot_with("message"), "Hello.")
    del item[0].non_tensor_batch["extra_info"]["tools_json"]
    with pytest.raises(DataError, match="tools_json is missing"):
        verl_rewards(manager, name, verl_finds(), item)


def test_the_manager_that_hides_errors() -> None:
    """The manager `rate_limited` makes a reward of 0 of every error, as the documentation warns."""
    item = verl_item(pivot_with("message"), "Hello.")
    del item[0].non_tensor_batch["extra_info"]["tools_json"]
    found = verl_rewards("limited", "RateLimitedRewardManager", verl_finds(), item)
    assert found["reward_score"] == 0.0
    assert "tools_json is missing" in found["reward_extra_info"]["error"]


def test_verl_sums_up_the_members() -> None:
    """In a validation, verl reports the means of the reward and the outcome, and leaves the category out."""
    found = taken(
        package("verl") / "trainer" / "ppo" / "metric_utils.py",
        *("process_validation_metrics", "bootstrap_metric", "calc_maj_val"),
        np=np,
        defaultdict=defaultdict,
        partial=partial,
    )
    pivot = pivot_with("function_call")
    texts = [as_text(pivot.expected_action), as_text(WRONG), "Hello.", "<tool_call>{"]
    scores = [compute_score("any", text, **truth(pivot, NEMO_GYM)) for text in texts]
    members = {name: [score[name] for score in scores] for name in scores[0]}
    metrics = found["process_validation_metrics"](["any"] * 4, ["one"] * 4, members)["any"]
    means = {name: values["mean@4"] for name, values in metrics.items()}
    assert means == {"score": 0.25, "acc": 0.25, "calls": 0.5, "message": 0.25, "malformed": 0.25}


@pytest.mark.parametrize(("metric", "left_out"), [("acc", {"fails"}), ("reward", set())])
def test_groups_that_verl_leaves_out(metric: str, left_out: set[str]) -> None:
    """By the outcome, verl leaves out a group in which nothing passes; by a reward with partial credit, it does not."""
    pivot = pivot_with("function_call")
    name, arguments = pivot.expected_action.calls[0].name, json.loads(pivot.expected_action.calls[0].arguments)
    near = [as_text(Action((FunctionCall(name, json.dumps(arguments | {str(n): n})),))) for n in range(2)]
    texts = {"fails": [as_text(WRONG), *near], "mixed": [as_text(pivot.expected_action), *near]}
    fields = {
        f"{group}_{number}_0": compute_score("any", text, **truth(pivot, AGENTIC))
        for group, answers in texts.items()
        for number, text in enumerate(answers)
    }

    def kept(*, keys: list[str], select_fields: list[str], **_: Any) -> dict[str, Any]:
        found = [{"reward_extra_info": fields[key]} for key in keys]
        rewards = [np.array([0.0, fields[key]["score"]]) for key in keys]
        return {"extra_fields": found, "rm_scores": rewards} if select_fields else {}

    buffer = SimpleNamespace(
        filter_groups_metric=metric,
        finished_keys={"train": set(texts)},
        _dapo_classification_cache={"train": {}},
        partitions={"train": fields},
    )
    names = taken(
        package("verl") / "trainer" / "ppo" / "v1" / "replay_buffer.py",
        "_dapo_filtered_keys",
        inside="ReplayBuffer",
        FILTER_GROUPS_REWARD_METRIC="reward",
        Counter=Counter,
        defaultdict=defaultdict,
        np=np,
        tq=SimpleNamespace(kv_batch_get=kept),
    )
    found, _ = names["_dapo_filtered_keys"](buffer, "train")
    assert found == left_out


# -------------------------------------------------------------------- TRL


class Truths:
    """Stands in for a tensor of truth values."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def all(self, dim: int) -> Truths:
        """Return the rows in which all are true."""
        return Truths(self.values.all(axis=dim))

    def any(self) -> bool:
        """Return whether any is true."""
        return bool(self.values.any())

    def nonzero(self, *, as_tuple: bool) -> Any:
        """Return the places of those that are true."""
        assert as_tuple
        return self.values.nonzero()


TORCH = SimpleNamespace(
    zeros=lambda *shape, **_: np.zeros(shape),
    tensor=lambda values, dtype, **_: np.array(values, dtype),
    isnan=lambda values: Truths(np.isnan(values)),
    nan=math.nan,
    float32=np.float32,
)


def trl_rewards(chosen: Sequence[Pivot], completions: list[Any], *functions: Any) -> tuple[list[list[float]], Any]:
    """Return the rewards of TRL's GRPOTrainer for a batch, a column for each function, and the trainer."""
    trl = package("trl")
    names = ("get_callable_name", "is_async_callable")
    tools = taken(trl / "trainer" / "utils.py", *names, functools=functools, inspect=inspect)
    methods = taken(
        trl / "trainer" / "grpo_trainer.py",
        *("_calculate_rewards", "_log_completion_extra", "_log_metric"),
        inside="GRPOTrainer",
        torch=TORCH,
        nn=SimpleNamespace(Module=SimpleNamespace),
        profiling_context=lambda *_: nullcontext(),
        is_async_callable=tools["is_async_callable"],
        gather=lambda values: values,
        logger=logging.getLogger("trl"),
        asyncio=asyncio,
    )
    trainer: Any = type("Trainer", (), {name: methods[name] for name in methods if name.startswith("_")})()
    trainer.__dict__ |= {
        "accelerator": SimpleNamespace(device="cpu"),
        "state": SimpleNamespace(global_step=0),
        "environments": None,
        "reward_funcs": list(functions),
        "reward_processing_classes": [None] * len(functions),
        "reward_func_names": [tools["get_callable_name"](function) for function in functions],
        "_pending_extra_logs": defaultdict(list),
        "_pending_metrics": defaultdict(list),
    }
    rows = [trl_rows.row(pivot, dialect="hermes", grader=NEMO_GYM, index=0, split="train") for pivot in chosen]
    prompts = [row["prompt"] for row in rows]
    found = trainer._calculate_rewards(rows, prompts, completions, [[1]] * len(rows))
    return found.tolist(), trainer


def test_trl_calls_the_function() -> None:
    """TRL passes the columns of the rows and gets the rewards, and logs what the function logs, under its name."""
    chosen = pivots()[:12]
    actions = [pivot.expected_action if number % 3 else WRONG for number, pivot in enumerate(chosen)]
    wanted = [[float(number % 3 > 0)] for number in range(len(chosen))]
    for completions in (
        [[as_message(action)] for action in actions],
        [[{"role": "assistant", "content": as_text(action)}] for action in actions],
        [as_text(action) for action in actions],
    ):
        found, trainer = trl_rewards(chosen, completions, reward)
        assert found == wanted
    assert trainer.reward_func_names == ["reward"]
    assert trainer._pending_extra_logs["passed"] == [number % 3 > 0 for number in range(len(chosen))]
    assert trainer._pending_metrics["fcpivot/passed"] == [pytest.approx(2 / 3)]


def test_trl_takes_a_fixed_grader() -> None:
    """A function with a fixed grader stands beside the plain one; a completion that is None has no reward."""
    pivot = pivot_with("function_call")
    half = as_text(Action((FunctionCall(pivot.expected_action.calls[0].name, '{"another": 1}'),)))
    found, trainer = trl_rewards([pivot] * 2, [half, None], reward, partial(reward, grader="agentic"))
    assert trainer.reward_func_names == ["reward", "reward"]
    assert found[0][0] == 0.0
    assert 0 < found[0][1] < 1
    assert all(math.isnan(value) for value in found[1])
    assert trainer._pending_extra_logs.keys() == {"category", "passed", "agentic/category", "agentic/passed"}


def test_names_that_trl_uses_itself() -> None:
    """No column has a name by which TRL passes something else to reward functions, or that it gives to a template."""
    source = (package("trl") / "trainer" / "grpo_trainer.py").read_text(encoding="utf-8")
    columns = set(trl_rows.SCHEMA.names) - {"prompt"}
    for name in columns:
        assert f'reward_kwargs["{name}"]' not in source
        assert f'inputs[0]["{name}"]' not in source
    templated = (package("trl") / "data_utils.py").read_text(encoding="utf-8")
    assert not {name for name in columns if f'example.get("{name}"' in templated}
    assert columns.isdisjoint({"prompts", "completions", "completion_ids", "tools", "environment", "images"})


# -------------------------------------------------------------------- the documentation


def shown(language: str, title: str) -> str:
    """Return the block of the documentation that cannot be run here and whose title says this."""
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    (block,) = re.findall(
        rf'^```{language} title="[^"\n]*{title}[^"\n]*"\n(.*?)^```$', text, flags=re.MULTILINE | re.DOTALL
    )
    return str(block)


def test_the_options_of_verl_in_the_documentation() -> None:
    """Each option in verl's command line is one that verl has."""
    named = set(re.findall(r"(?<!\S)([a-z_.\d]+)=", shown("sh", "names of the options")))
    known = options(package("verl") / "trainer" / "config" / "_generated_ppo_trainer.yaml")
    assert len(named) > 15
    assert named <= known, named - known


def test_the_arguments_of_trl_in_the_documentation() -> None:
    """Each argument of TRL's trainer and configuration is one that they have."""
    tree = ast.parse(shown("python", "own call of the function"))
    named = {
        node.func.id: {keyword.arg for keyword in node.keywords}
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    trainer = package("trl") / "trainer"
    assert named["GRPOTrainer"] <= parameters(trainer / "grpo_trainer.py", "GRPOTrainer")
    inherited = {"output_dir", "remove_unused_columns"}  # of transformers' TrainingArguments
    assert named["GRPOConfig"] - inherited <= settings(trainer / "grpo_config.py", "GRPOConfig")
