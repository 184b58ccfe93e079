"""
Train SampleCNN on a dataset and write a model folder that is ready for the Hub.

    accelerate launch training/train.py --recipe training/recipes/speech_commands/modern.yaml \\
        --data_dir data/speech_commands_v0.02 --output_dir runs/speech_commands

- Runs on a CPU or on one or several GPUs with Accelerate. GPU training is untested.
- `--resume` continues an interrupted run, with the same weights as an uninterrupted one (on a CPU).
- The output folder is created when the run is complete.
- `--synthetic` generates a small dataset in the layout of the real one, and trains on it.
"""

from accelerate import Accelerator
from transformers.utils.logging import disable_progress_bar

from training.errors import errors_in_one_line
from training.loop.run import train
from training.recipe import parse_recipe


def main(argv: list[str] | None = None):
    disable_progress_bar()  # while weights are loaded and saved
    with errors_in_one_line("the same command with --resume continues after the last finished epoch"):
        train(parse_recipe(argv, description=__doc__))
        Accelerator().end_training()


if __name__ == "__main__":
    main()
