"""A three-step graph for tests of the local runner: it counts how often each step really runs."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Metrics, Output

from components._runtime import component, pipeline


@component
def first_step(
    counter: str, text: str, result: Output[Artifact], page: Output[HTML], metrics: Output[Metrics]
) -> bool:
    from pathlib import Path

    from components._stage import stage

    with stage("first_step", result, page, metrics) as told:
        with Path(counter).open("a") as lines:
            lines.write("first\n")
        print("@progress halfway")
        Path(result.path).write_text(text)
        told.says(f"wrote {text}", [("text", text)], {"length": len(text), "nothing": float("nan")})
    return text != "stop"


@component
def second_step(
    counter: str,
    mode: str,
    given: Input[Artifact],
    result: Output[Artifact],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    import time
    from pathlib import Path

    from components._stage import stage
    from everloop.contracts.errors import ShouldCollectMoreData

    with stage("second_step", result, page, metrics) as told:
        with Path(counter).open("a") as lines:
            lines.write("second\n")
        if Path(mode).exists() and Path(mode).read_text() == "fail":
            raise ShouldCollectMoreData("There are 3 rows.", "Log more.")
        if Path(mode).exists() and Path(mode).read_text() == "wait":
            time.sleep(60)
        Path(result.path).write_text(Path(given.path).read_text() + "!")
        told.says("added a mark")


@component
def report(given: Input[Artifact], page: Output[HTML], metrics: Output[Metrics]) -> None:
    from components._stage import stage

    with stage("report", page, page, metrics) as told:
        told.says("the end", page="<p>the end</p>")


@pipeline("small", "For tests of the local runner.")
def small(counter: str, mode: str, text: str = "hello") -> None:
    first = first_step(counter=counter, text=text)
    with dsl.If(first.outputs["Output"] == True, "going"):  # noqa: E712
        second = second_step(counter=counter, mode=mode, given=first.outputs["result"])
        report(given=second.outputs["result"])
    with dsl.Else("stopped"):
        report(given=first.outputs["result"])
