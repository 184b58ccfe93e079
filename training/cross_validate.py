"""
Cross-validation on your own data: each fold is held out once, and the others are used for training.

    python -m training.cross_validate --recipe training/recipes/esc10/modern.yaml \\
        --data_dir data/esc10 --output_dir runs/esc10

The data are class folders whose file names start with the number of the fold (`<class>/2-dog.wav`). The options are
those of train.py; `--resume` continues with the interrupted fold. Each fold is scored after the last epoch, so that
nothing, not even the epoch, is selected on the held-out fold.
"""

from accelerate import Accelerator, PartialState
from transformers.utils.logging import disable_progress_bar

from training.errors import errors_in_one_line
from training.loop.cross_validation import cross_validate
from training.recipe import parse_recipe


def main(argv: list[str] | None = None):
    disable_progress_bar()
    with errors_in_one_line("the same command with --resume continues after the last finished epoch"):
        summary = cross_validate(parse_recipe(argv, description=__doc__))
    accuracies = ", ".join(f"{fold}: {scores['accuracy']:.4f}" for fold, scores in summary["folds"].items())
    mean, deviation = summary["accuracy_mean"], summary["accuracy_std"]
    PartialState().print(f"accuracy {mean:.4f} +- {deviation:.4f} over the folds ({accuracies})")
    Accelerator().end_training()


if __name__ == "__main__":
    main()
