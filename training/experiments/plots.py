"""Figures of score tables: measured means with their standard deviation, the paper's values as hollow diamonds."""

from matplotlib.figure import Figure

from samplecnn_hf.analysis.plots import BLUE, GREEN, PURPLE, RED, plot_text

COLORS = (BLUE, RED, GREEN, PURPLE)
# For those who see no colour at all; the paper's are diamonds.
MARKERS = ("o", "s", "^", "v")


def plot_scores(rows: list[dict], x: str, series: str | None = None, line: bool = True) -> Figure:
    """`mean` and `sd` of the rows over column `x`, one colour a value of column `series`, and `paper`."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    places = {str(value): i for i, value in enumerate(dict.fromkeys(row[x] for row in rows))}
    groups = list(dict.fromkeys(row[series] for row in rows)) if series else [None]
    for i, group in enumerate(groups):
        members = [row for row in rows if series is None or row[series] == group]
        done = [row for row in members if row["mean"] is not None]
        shift = 0 if line else 0.12 * (i - (len(groups) - 1) / 2)  # unordered ones must not hide each other
        axes.errorbar(
            [places[str(row[x])] + shift for row in done],
            [row["mean"] for row in done],
            [row["sd"] or 0.0 for row in done],
            color=COLORS[i],
            marker=MARKERS[i],
            linestyle="-" if line else "none",
            capsize=3,
            label="measured" if group is None else plot_text(group),
        )
        known = [row for row in members if row.get("paper") is not None]
        if known:
            axes.plot(
                [places[str(row[x])] + shift for row in known],
                [row["paper"] for row in known],
                color=COLORS[i],
                marker="D",
                markerfacecolor="none",
                linestyle="none",
                label="the paper" if group is None else f"the paper, {plot_text(group)}",
            )
    axes.set_xticks(range(len(places)), list(map(plot_text, places)), rotation=30 if len(places) > 6 else 0)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set(xlabel="" if x == "whose" else x, ylabel="score")
    return _finish(figure)


def plot_trade_off(rows: list[dict], x: str, label: str) -> Figure:
    """A point a row: `mean` over column `x`, with the text of column `label` beside it."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    done = [row for row in rows if row["mean"] is not None]
    axes.errorbar(
        [row[x] for row in done],
        [row["mean"] for row in done],
        [row["sd"] or 0.0 for row in done],
        color=COLORS[0],
        marker=MARKERS[0],
        linestyle="none",
        capsize=3,
        label="measured",
    )
    for i, row in enumerate(done):  # neighbours' names above and below
        offset = (5, -11 if i % 2 else 5)
        axes.annotate(
            plot_text(row[label]), (row[x], row["mean"]), xytext=offset, textcoords="offset points", fontsize=8
        )
    known = [row for row in rows if row["paper"] is not None]
    if known:
        axes.plot(
            [row[f"paper: {x.partition(' ')[0]}"] for row in known],
            [row["paper"] for row in known],
            color=COLORS[1],
            marker="D",
            markerfacecolor="none",
            linestyle="none",
            label="the paper",
        )
    axes.margins(x=0.15)
    axes.set(xlabel=x, ylabel="score")
    return _finish(figure)


def plot_differences(rows: list[dict], column: str) -> Figure:
    """A bar a label: column `column` of the rows, in their order."""
    figure = Figure(figsize=(max(7, 0.2 * len(rows)), 4.5), layout="constrained")
    axes = figure.subplots()
    values = [row[column] for row in rows]
    axes.bar(range(len(rows)), values, color=[COLORS[0] if value >= 0 else COLORS[1] for value in values])
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(rows)), [plot_text(row["label"]) for row in rows], rotation=90)
    axes.set(ylabel=f"{rows[0]['score']}: {column}")
    axes.grid(axis="y", alpha=0.3)
    return figure


def _finish(figure: Figure) -> Figure:
    (axes,) = figure.axes
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
