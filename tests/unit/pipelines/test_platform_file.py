"""The platform file: the example is good, and what is wrong is told with its line and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.contracts.errors import ShouldFixPlatform
from everloop.contracts.platform import Platform, StepNeeds
from pipelines.platform_file import EXAMPLE, load_platform, parse_platform

ROOT = Path(__file__).parents[3]


def problems(text: str) -> list[str]:
    with pytest.raises(ShouldFixPlatform) as caught:
        parse_platform(text, "p.yaml")
    return caught.value.message.splitlines()


def test_the_example_is_a_platform_and_so_is_what_it_suggests() -> None:
    path = ROOT / EXAMPLE
    made = load_platform(path)
    assert made.needs_of("train_policy").memory.limit == "16Gi"
    assert "EVERLOOP_LEDGER_KEY" in made.needs_of("gate").secrets
    known = {*Platform.model_fields, *StepNeeds.model_fields}
    uncommented = []
    for line in path.read_text().splitlines():
        body = line.lstrip()
        key = body.removeprefix("# ").partition(":")[0]
        offered = body.startswith("# ") and key in known and ": " in body
        indent = line[: len(line) - len(body)]
        uncommented.append(indent + body.removeprefix("# ") if offered else line)
    whole = parse_platform("\n".join(uncommented))
    gpu = whole.needs_of("train_policy").accelerator
    assert gpu is not None
    assert (gpu.type, gpu.count, whole.token_path[:5]) == ("nvidia.com/gpu", 1, "/var/")


def test_every_problem_is_told_with_its_line_and_the_fix() -> None:
    assert problems(
        "host: https://kf.example\n"
        "image: everloop-python:1\n"
        "defualts: {}\n"
        "steps:\n"
        "  train_polcy: {}\n"
        "  gate:\n"
        "    memory: {limit: 2GB}\n"
        "    memroy: {}\n"
        "    env: {THREADS: 1}\n"
        "    image_pull_policy: IfNotPresnt\n"
    ) == [
        "p.yaml:5: there is no stage 'train_polcy' (did you mean 'train_policy'?)",
        "p.yaml:7: steps.gate.memory.limit: this is no amount of memory (did you mean 2Gi?) "
        "(given: '2GB')",
        "p.yaml:9: steps.gate.env.THREADS: Input should be a valid string "
        "(given: 1; put it between quotes)",
        "p.yaml:10: steps.gate.image_pull_policy: Input should be 'Always', 'IfNotPresent' or "
        "'Never' (given: 'IfNotPresnt'; did you mean 'IfNotPresent'?)",
        "p.yaml:8: unknown key 'steps.gate.memroy' (did you mean 'memory'?)",
        "p.yaml:3: unknown key 'defualts' (did you mean 'defaults'?)",
    ]


def test_what_is_missing_is_named() -> None:
    assert problems("experiment: x\n") == [
        "p.yaml:1: 'host' is missing (add it)",
        "p.yaml:1: 'image' is missing (add it)",
    ]


@pytest.mark.parametrize("text", ["", "- a\n", "a: [\n", "a: 1\na: 2\n"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    assert problems(text)[0].startswith("p.yaml:")


def test_a_file_that_cannot_be_read_names_the_example(tmp_path: Path) -> None:
    with pytest.raises(ShouldFixPlatform, match=EXAMPLE):
        load_platform(tmp_path / "none.yaml")


def test_a_stage_that_nobody_is_near_is_answered_with_all() -> None:
    (told,) = problems("host: https://x\nimage: a:1\nsteps: {zzz: {}}\n")
    assert "known: act_on_trial" in told


def test_what_two_sections_say_together_is_told_with_the_stages_line() -> None:
    (problem,) = problems(
        "host: https://kf.example\nimage: r.example/everloop:1\n"
        "defaults: {cpu: {request: 2, limit: 4}}\nsteps:\n  gate: {}\n  report: {cpu: {limit: 1}}\n"
    )
    assert problem.startswith("p.yaml:6: steps.report: ")
