"""Plots of score tables: means with their standard deviation, and the paper's values as hollow diamonds."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from samplecnn_hf.analysis.plots import BLUE, GREEN, PURPLE, RED, plot_text

COLORS = (BLUE, RED, GREEN, PURPLE)
MARKERS = ("o", "s", "^", "v")  # distinguishable without color; diamonds are the paper's


def plot_scores(rows: list[dict], x: str, series: str | None = None, line: bool = True) -> Figure:
    """Plot `mean` and `sd` of the rows over column `x`, one color per value of column `series`, and `paper`."""
    figure, axes = _subplots((7, 4))
    places = {str(value): i for i, value in enumerate(dict.fromkeys(row[x] for row in rows))}
    groups = list(dict.fromkeys(row[series] for row in rows)) if series else [None]
    for i, group in enumerate(groups):
        members = [row for row in rows if series is None or row[series] == group]
        shift = 0 if line else 0.12 * (i - (len(groups) - 1) / 2)  # unordered points must not hide each other
        positions = [places[str(row[x])] + shift for row in members]
        suffix = "" if group is None else plot_text(group)
        _plot_measured(axes, positions, members, i, suffix or "measured", "-" if line else "none")
        _plot_paper(axes, positions, members, COLORS[i], f"the paper, {suffix}" if suffix else "the paper")
    axes.set_xticks(range(len(places)), list(map(plot_text, places)), rotation=30 if len(places) > 6 else 0)
    axes.set(xlim=(-0.5, len(places) - 0.5), xlabel="" if x == "whose" else x, ylabel="score")
    axes.legend(fontsize=8)
    return figure


def plot_trade_off(rows: list[dict], x: str, label: str) -> Figure:
    """Plot one point per row: `mean` over column `x`, annotated with column `label`, and `paper` over `paper: ...`."""
    figure, axes = _subplots((7, 4))
    done = [row for row in rows if None not in (row["mean"], row[x])]
    _plot_measured(axes, [row[x] for row in done], done, 0, "measured", "none")
    for i, row in enumerate(done):
        offset = (5, -11 if i % 2 else 5)  # names of neighbors above and below
        axes.annotate(
            plot_text(row[label]), (row[x], row["mean"]), xytext=offset, textcoords="offset points", fontsize=8
        )
    _plot_paper(axes, [row[f"paper: {x.partition(' ')[0]}"] for row in rows], rows, COLORS[1], "the paper")
    axes.margins(x=0.15)
    axes.set(xlabel=x, ylabel="score")
    axes.legend(fontsize=8)
    return figure


def plot_differences(rows: list[dict], label: str, column: str) -> Figure:
    """Plot one horizontal bar per row, from the highest value of `column` to the lowest, named by column `label`."""
    rows = sorted((row for row in rows if row[column] is not None), key=lambda row: row[column])
    figure, axes = _subplots((7, max(3, 0.25 * len(rows) + 1.5)))
    values = [row[column] for row in rows]
    bars = axes.barh(range(len(rows)), values, color=[COLORS[0] if value >= 0 else COLORS[1] for value in values])
    axes.bar_label(bars, fmt="%+.3f", padding=3, fontsize=8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [plot_text(row[label]) for row in rows])
    axes.margins(x=0.15)
    axes.set(xlabel=column)
    return figure


def _subplots(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _plot_measured(axes: Axes, positions: list[float], rows: list[dict], style: int, label: str, line: str):
    points = [
        (x, row["mean"], row["sd"] or 0.0) for x, row in zip(positions, rows, strict=True) if row["mean"] is not None
    ]
    axes.errorbar(
        *(zip(*points, strict=True) if points else ([], [], [])),
        color=COLORS[style],
        marker=MARKERS[style],
        linestyle=line,
        capsize=3,
        label=label,
    )


def _plot_paper(axes: Axes, positions: list[float], rows: list[dict], color: str, label: str):
    points = [(x, row["paper"]) for x, row in zip(positions, rows, strict=True) if row.get("paper") is not None]
    if points:
        axes.plot(
            *zip(*points, strict=True),
            color=color,
            marker="D",
            markerfacecolor="none",
            linestyle="none",
            label=label,
        )
