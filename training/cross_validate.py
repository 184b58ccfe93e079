"""
Cross-validation on your own sounds: each fold is held out once, the others are trained on.

    python -m training.cross_validate --recipe training/recipes/esc10/modern.yaml \
        --data_dir ../shared/data/esc10 --output_dir runs/esc10

The data are class folders whose file names begin with the fold's number (`<class>/2-dog.wav`). The options are those
of train.py; `--resume` goes on with the fold that was interrupted. The score of a fold is that after the LAST epoch:
nothing, not even the epoch, is chosen on what is held out.
"""

from accelerate import Accelerator, PartialState
from transformers.utils.logging import disable_progress_bar

from training.errors import errors_in_one_line
from training.loop.cross_validation import cross_validate
from training.recipe import parse_recipe


def main(argv: list[str] | None = None):
    disable_progress_bar()
    with errors_in_one_line("the same command with --resume goes on from the last finished epoch"):
        summary = cross_validate(parse_recipe(argv, description=__doc__))
    accuracies = ", ".join(f"{fold}: {scores['accuracy']:.4f}" for fold, scores in summary["folds"].items())
    mean, deviation = summary["accuracy_mean"], summary["accuracy_std"]
    PartialState().print(f"accuracy {mean:.4f} +- {deviation:.4f} over the folds ({accuracies})")
    Accelerator().end_training()


if __name__ == "__main__":
    main()
