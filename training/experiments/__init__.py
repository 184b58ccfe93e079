"""
The paper's tables and figures that need training, each by one command: `python -m training.experiments NAME`.

An experiment is a module with

    TITLE                   what it shows, and where in the paper
    cells(task, args)       its networks, a list of `grid.Cell`: each is trained once a seed
    tables(task, trained)   name -> rows, of the `grid.Trained` runs so far; the first table is the experiment's own
    plots(tables)           name -> figure, drawn from the tables alone

and, where it needs them, TASKS (the paper's tasks unless told otherwise) and add_arguments(parser) for options of its
own. Its name in EXPERIMENTS is the rest: command, files, its place in the report.
"""

from training.experiments import figure_4, figure_5, figure_6, table_2, table_3, table_4, table_5

EXPERIMENTS = {
    "figure_4": figure_4,
    "table_2": table_2,
    "figure_5": figure_5,
    "figure_6": figure_6,
    "table_3": table_3,
    "table_4": table_4,
    "table_5": table_5,
}
