"""The two kinds of experiments: a grid of training runs, and an analysis of trained networks.

An experiment is a class in a file of figures/ or tables/ that is listed in this package's `__init__.py`. It gives the
data of its tables and draws figures from them; training, files and the command are shared by all. The fields of an
experiment, made with `training.options.option`, are its own command-line options.
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
        default_tasks: the paper's tasks to run where the command line names no data.
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
        block_type: block type of the networks to train where none are given.
        needs_clips: whether clips are run through the networks, whose blocks must then have excitations.
        combined: whether several networks share one table and figure; otherwise each has its own.
    """

    block_type: ClassVar[str] = "se"
    needs_clips: ClassVar[bool] = True
    combined: ClassVar[bool] = False

    @abstractmethod
    def analyze(self, network: TrainedNetwork) -> tuple[list[dict], dict[str, np.ndarray]]:
        """Returns the network's rows of the table, and arrays that the figure needs beside them."""

    @abstractmethod
    def plot(self, rows: list[dict], arrays: dict[str, np.ndarray]) -> Figure:
        """Draw the figure from the rows and arrays of all networks."""
