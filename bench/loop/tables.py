"""What was measured as tables, and as goals."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bench.learning.tables import over_seeds
from bench.loop.peers import NO_LEARNING, OPTIMUM, PEERS
from bench.record import Goal, Spread

LOOP: Final = "everloop"
Row = Mapping[str, Any]


def goals_of(learned: Sequence[Row], planted: Sequence[Row]) -> list[Goal]:
    """The benchmark's goals, those that were measured."""
    goals = []
    for name, part, goal in (
        ("gain_share_10k", "home", 0.8),
        ("gain_share_transfer_1k", "people", 0.7),
    ):
        shares = [row["share"] for row in learned if row["where"] == part]
        if shares:
            goals.append(Goal(name, over_seeds(shares), goal, "min"))
    judged = [row["stopped"] for row in planted if not row["past_the_gate"]]
    if judged:
        share = sum(judged) / len(judged)
        goals.append(Goal("planted_bad_stopped_share", Spread(share, share, share), 1.0, "min"))
    return goals


def served_table(rows: Sequence[Row]) -> str:
    """Value served a day: mean over seeds, with the half-width of a seed's own 95 % interval over people.

    The last column is the last day's share of what the optimum serves above no learning, with a 95 % t
    interval over seeds.
    """
    days = sorted({row["day"] for row in rows})
    lines = ["", "true reward a decision, by day (± half a 95 % interval over people)"]
    lines.append(f"{'':24}" + "".join(f"{day:>7}" for day in days) + f"{'±':>7}  last day's share")
    for system in (LOOP, *PEERS):
        mine = [row for row in rows if row["system"] == system]
        if not mine:
            continue
        cells = [
            f"{statistics.fmean(r['value'] for r in mine if r['day'] == day):7.3f}"
            for day in days
            if any(r["day"] == day for r in mine)
        ]
        half = statistics.fmean((r["high"] - r["low"]) / 2 for r in mine)
        lines.append(f"{system:24}" + "".join(cells) + f"{half:7.3f}  {_share(rows, system, days)}")
    n = statistics.fmean(row["n"] for row in rows)
    seeds = len({row["seed"] for row in rows})
    lines.append(f"{n:,.0f} decisions a day, {seeds} seeds")
    return "\n".join(lines)


def _share(rows: Sequence[Row], system: str, days: Sequence[int]) -> str:
    found = {(row["system"], row["seed"]): row["value"] for row in rows if row["day"] == days[-1]}
    shares = []
    for (name, seed), value in found.items():
        low, best = found.get((NO_LEARNING, seed)), found.get((OPTIMUM, seed))
        if name == system and low is not None and best is not None and best > low:
            shares.append((value - low) / (best - low))
    return told(over_seeds(shares)) if shares else "-"


def told(spread: Spread) -> str:
    """A value and its interval."""
    return f"{spread.value:.3f} [{spread.low:.3f}, {spread.high:.3f}]"


def days_table(rows: Sequence[Row]) -> Iterator[str]:
    """What the loop did, day by day."""
    yield ""
    for row in rows:
        by = ", ".join(f"{name} {share:.0%}" for name, share in row["by"].items())
        yield f"seed {row['seed']} day {row['day']}: {by}; {row['met']} met a candidate"
        for event in row["events"]:
            yield f"    {event:.150}"
        if row["gate"]:
            yield f"    gate: {row['gate']:.150}"


def planted_table(rows: Sequence[Row]) -> str:
    """What stopped each bad candidate, when, and after how many people; ``lost`` is true reward a decision
    that its people had less than the others."""
    lines = ["", "planted bad candidates: what stopped them, and how many people had met them"]
    lines.append(
        f"{'':18}{'seed':>5} {'':14}{'stopped by':13}{'people':>7}{'decisions':>10}{'days':>5}"
        f"{'lost':>7}  checks"
    )
    lines += [
        f"{row['planted']:18}{row['seed']:>5} {_way(row):14}{row['stopped_by']:13}{row['people']:>7}"
        f"{row['decisions']:>10}{row['days']:>5}{row['lost']:7.3f}  {', '.join(row['checks']):.90}"
        for row in rows
    ]
    return "\n".join(lines)


def _way(row: Row) -> str:
    return "past the gate" if row["past_the_gate"] else "as it is"


def changes_table(rows: Sequence[Row]) -> str:
    """Tables and policies under a changed definition, beside the same run without the change."""
    head = "changed definitions: the next daily run with the change, beside the same run without"
    lines = [
        f"{row['change']:16} seed {row['seed']}: mean reward of the table "
        f"{row['mean_reward_before']:.3f} -> {row['mean_reward_after']:.3f}; by the new "
        f"definition the policy is worth {row['worth_of_old']:.3f} -> {row['worth_of_new']:.3f} "
        f"({row['gained']:+.3f} [{row['gained_low']:.3f}, {row['gained_high']:.3f}], n "
        f"{row['n']:,}; best {row['best']:.3f}); {row['moved']:.0%} of its choices moved; "
        f"{row['hours']:.1f} h after the change"
        for row in rows
    ]
    return "\n".join(["", head, *lines])


def learned_table(rows: Sequence[Row]) -> str:
    """Shares that PPO reaches from fixed logs."""
    lines = [
        f"{row['where']:8} seed {row['seed']}: {row['people'] * row['each']:,} episodes, share "
        f"{row['share']:.3f} [{row['share_low']:.3f}, {row['share_high']:.3f}] (roll-out), "
        f"{row['cpu_s']:.0f} CPU s"
        for row in rows
    ]
    return "\n".join(["", "share of the optimum's gain over uniform decisions", *lines])
