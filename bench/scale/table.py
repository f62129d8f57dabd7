"""The figures of a benchmark run in words."""

from __future__ import annotations

from bench.scale.growth import growths, micros_each
from bench.scale.stages import Sizes, stages_in


def table(of: Sizes) -> list[str]:
    """A line for each stage: wall and CPU seconds, MiB at every size, and how CPU and memory grow; then
    totals, the cost of an episode, and which stage grows fastest."""
    sizes = sorted(of)
    cpu = {growth.stage: growth.exponent for growth in growths(of, "cpu_s")}
    peak = {growth.stage: growth.exponent for growth in growths(of, "peak_mb")}
    lines = [
        " " * 20 + "".join(f"{f'{size:,} episodes':^29}" for size in sizes) + "grows as n^",
        f"{'stage':<20}"
        + "".join(f"{'wall s':>9}{'CPU s':>9}{'MiB':>8}   " for _ in sizes)
        + f"{'CPU':>5}{'MiB':>7}",
    ]
    by_size = {size: {use.stage: use for use in of[size]} for size in sizes}
    for stage in stages_in(of):
        cells = ""
        for size in sizes:
            use = by_size[size].get(stage)
            cells += (
                " " * 29
                if use is None
                else f"{use.wall_s:>9.1f}{use.cpu_s:>9.1f}{use.peak_mb:>8.0f}   "
            )
        grown = f"{cpu[stage]:>5.2f}{peak[stage]:>7.2f}" if stage in cpu else ""
        lines.append(f"{stage:<20}{cells}{grown}")
    lines.append(
        f"{'all, or the most':<20}"
        + "".join(
            f"{sum(u.wall_s for u in of[size]):>9.1f}{sum(u.cpu_s for u in of[size]):>9.1f}"
            f"{max(u.peak_mb for u in of[size]):>8.0f}   "
            for size in sizes
        )
    )
    lines.append(
        f"{'CPU µs an episode':<20}"
        + "".join(f"{micros_each(size, of[size]):>18.0f}{'':11}" for size in sizes)
    )
    return [*lines, *(f"{line}" for line in fastest(of))]


def fastest(of: Sizes) -> list[str]:
    """Which stage grows fastest in CPU seconds and in memory, in words; empty for one size."""
    lines = []
    for quantity, name in (("cpu_s", "CPU seconds"), ("peak_mb", "Memory")):
        found = growths(of, quantity)  # type: ignore[arg-type]
        if found:
            first = found[0]
            lines.append(
                f"{name} grow{'s' if name == 'Memory' else ''} fastest in {first.stage}: as "
                f"n^{first.exponent:.2f} from {first.smaller:,} to {first.larger:,} episodes."
            )
    return lines
