"""
The paper's tables and figures, each by one command: `python -m training.experiments NAME`.

An experiment is a module with TITLE, what it shows and where in the paper, and its name in EXPERIMENTS; where it needs
options of its own, add_arguments(parser). A grid of training runs has, besides,

    cells(task, args)       its networks, a list of `grid.Cell`: each is trained once a seed
    tables(task, trained)   name -> rows, of the `grid.Trained` runs so far; the first table is the experiment's own
    plots(tables)           name -> figure, drawn from the tables alone
    TASKS                   the paper's tasks unless told otherwise (optional)

An analysis of trained networks has

    BLOCK_TYPE              of the networks that are trained where none is given; "se": all must have such blocks
    TOGETHER                whether several networks share a table and a plot, or have their own
    analyse(subject, args)  rows of its table, and name -> array: what of its plots is too long for a table
    plots(tables, arrays)   name -> figure, drawn from these alone
"""

from training.experiments.figures import figure_4, figure_5, figure_6, figure_7, figure_8, figure_9, figure_10
from training.experiments.tables import table_2, table_3, table_4, table_5

EXPERIMENTS = {
    "figure_4": figure_4,
    "table_2": table_2,
    "figure_5": figure_5,
    "figure_6": figure_6,
    "table_3": table_3,
    "table_4": table_4,
    "figure_7": figure_7,
    "figure_8": figure_8,
    "figure_9": figure_9,
    "figure_10": figure_10,
    "table_5": table_5,
}
