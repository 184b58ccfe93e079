"""The two kinds of experiments: a grid of training runs, and an analysis of trained networks.

An experiment is a class in a file of figures/ or tables/ that is listed in this package's `__init__.py`. It
computes the rows of its tables and draws figures from them; training, result files and the command line are shared.
The fields of an experiment, defined with `training.options.option`, are additional command-line options.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure

from training.experiments.analysis import TrainedNetwork
from training.experiments.grid import Network, NetworkResults, score_row
from training.experiments.task import PAPER_TASKS, Task


@dataclass(frozen=True)
class Experiment(ABC):
    """A figure or table of the paper.

    Attributes:
        name: name of the command and of the result files.
        title: what the experiment shows, and where in the paper.
    """

    name: ClassVar[str]
    title: ClassVar[str]


class GridExperiment(Experiment):
    """Networks that are trained with several seeds, or once per fold, and compared by their scores.

    Attributes:
        default_tasks: the paper's tasks that are run if the command line names no data.
    """

    default_tasks: ClassVar[tuple[str, ...]] = tuple(PAPER_TASKS)

    @abstractmethod
    def networks(self, task: Task) -> list[Network]:
        """The networks to train on a task."""

    def tables(self, task: Task, trained: list[NetworkResults]) -> dict[str, list[dict]]:
        """Rows of each table, by table name; the results may lack runs that are not finished yet."""
        return {self.name: [score_row(task, results) for results in trained]}

    @abstractmethod
    def plots(self, tables: dict[str, list[dict]]) -> dict[str, Figure]:
        """Figures by name, drawn from the tables alone."""


class Analysis(Experiment):
    """An analysis of trained networks: one table and one figure.

    Attributes:
        block_type: block type of the networks that are trained if the command line names none.
        needs_clips: whether the analysis runs clips through the networks, which must then have SE blocks.
        combined: whether several networks share one table and figure; otherwise each has its own.
    """

    block_type: ClassVar[str] = "se"
    needs_clips: ClassVar[bool] = True
    combined: ClassVar[bool] = False

    @abstractmethod
    def analyze(self, network: TrainedNetwork) -> tuple[list[dict], dict[str, np.ndarray]]:
        """Return the rows of the table for a network, and further arrays for the figure."""

    @abstractmethod
    def plot(self, rows: list[dict], arrays: dict[str, np.ndarray]) -> Figure:
        """Draw the figure from the rows and arrays of all networks."""
