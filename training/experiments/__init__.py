"""The paper's tables and figures and an ablation, each by one command: `python -m training.experiments NAME`.

figures/, tables/   one experiment per file: start here
experiment.py       the interface of an experiment
task.py             dataset and recipe that all networks of an experiment share
grid.py             training runs of a grid experiment: networks x seeds or folds
analysis.py         trained networks and clips of an analysis
output.py, plots.py result files, figures of score tables
"""

from training.experiments.figures.figure_4 import Figure4
from training.experiments.figures.figure_5 import Figure5
from training.experiments.figures.figure_6 import Figure6
from training.experiments.figures.figure_7 import Figure7
from training.experiments.figures.figure_8 import Figure8
from training.experiments.figures.figure_9 import Figure9
from training.experiments.figures.figure_10 import Figure10
from training.experiments.tables.ablation import Ablation
from training.experiments.tables.table_2 import Table2
from training.experiments.tables.table_3 import Table3
from training.experiments.tables.table_4 import Table4
from training.experiments.tables.table_5 import Table5

# In the order of the paper; last, what is not in the paper.
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Figure4, Table2, Figure5, Figure6, Table3, Table4, Figure7, Figure8, Figure9, Figure10, Table5, Ablation
    )
}  # fmt: skip
