"""
Make a keyword spotter without recordings: synthetic voices say the words, and a network is trained on them.

    python -m training.spoken_words --words "marvin, stop, bonjour" --language en --output_dir runs/my_words

- Generates the words, other words (`_unknown_`) and other sounds (`_silence_`) in --data_dir, unless they exist.
- Fine-tunes a network that was trained on recordings of Arabic words, with their microphones and rooms, with
  training/recipes/speech_commands/spoken_words.yaml; any of its fields can be overridden.
- Tunes the threshold of the words for at most one false alarm per hour, and draws the DET curve.
- With --recordings, also scores words said by people; they are never trained on.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from accelerate import Accelerator
from transformers.utils.logging import disable_progress_bar

from training.data import load_source
from training.data.source import Source
from training.data.sources.combined import add_classes
from training.data.sources.recordings import add_background, add_recordings
from training.errors import RecipeError, errors_in_one_line
from training.loop.run import train
from training.options import Limits, option, parse_arguments, read_yaml
from training.recipe import ROOT, Recipe
from training.synthetic.spoken_words import ensure_spoken_words, split_words

RECIPE = ROOT / "training" / "recipes" / "speech_commands" / "spoken_words.yaml"
RECORDED = ROOT / "model_cards" / "samplecnn-arabic-speech-commands"  # the network to start from


@dataclass
class SpokenWordsRecipe(Recipe):
    """A recipe with the options of the generated data and of the recordings to score."""

    words: str | None = option(None, "Words to spot, separated by commas.")
    language: str = option("en", "Language code of the voices, and of the model card.")
    num_voices: Annotated[int | None, Limits(1, 9999)] = option(None, "Number of synthetic voices; by default all.")
    num_vocoded: Annotated[int, Limits(0, 9999)] = option(
        0, "Number of further English voices, made by a vocoder; needs pyworld and flite or festival."
    )
    takes: Annotated[int | None, Limits(1, 1000)] = option(
        None, "Clips per word and voice; by default as many clips of all words as of other words."
    )
    hours: Annotated[float, Limits(above=0, maximum=100)] = option(
        1.0, "Hours of generated sound without the words, to tune the threshold and again to test it."
    )
    unknown_words: str | None = option(None, "Text file of other words, in place of the most frequent ones.")
    recordings: str | None = option(None, "Folder of words said by people, <word>/*.wav, to score.")
    background: str | None = option(
        None, "Folder of recordings without the words; the threshold is tuned on them, too."
    )
    further: str | None = option(
        None,
        "Folder of further recordings in classes, such as words of another language, trained together with the words; "
        "the network does not keep the classes.",
    )

    @classmethod
    def load(cls, path=None, **changes) -> "SpokenWordsRecipe":
        """As `Recipe.load`; training starts from `RECORDED`, unless the changes or the user's file give a network."""
        is_own = path is not None and Path(path).resolve() != RECIPE.resolve()
        in_file = read_yaml(cls, str(path)) if is_own else {}
        if not {"pretrained", "variant", "model_kwargs"} & {*changes, *in_file}:
            changes["pretrained"] = os.path.relpath(RECORDED)
        return super().load(path, **changes)

    def __post_init__(self):
        if self.words is None:
            raise RecipeError("--words is missing: for example --words 'marvin, stop'")
        if self.data_dir is None and self.output_dir is not None:
            self.data_dir = str(Path("data", "spoken_words", Path(self.output_dir).absolute().name))
        super().__post_init__()

    def load_source(self) -> Source:
        """The generated words, and the recordings as further splits. Raises `DataError`."""
        ensure_spoken_words(
            Path(self.data_dir),
            words=split_words(self.words),
            language=self.language,
            num_voices=self.num_voices,
            num_vocoded=self.num_vocoded,
            takes=self.takes,
            hours=self.hours,
            unknown_words=self.unknown_words,
            seed=self.seed,
        )
        source = super().load_source()
        if self.further is not None:
            source = add_classes(source, load_source("folder", self.further))
        if self.recordings is not None:
            source = add_recordings(source, Path(self.recordings))
        if self.background is not None:
            source = add_background(source, Path(self.background))
        return source

    @property
    def inputs(self) -> tuple[str | None, ...]:
        return *super().inputs, self.unknown_words, self.recordings, self.background, self.further


def main(argv: list[str] | None = None):
    disable_progress_bar()  # while weights are loaded and saved
    with errors_in_one_line("the same command with --resume continues after the last finished epoch"):
        given = parse_arguments(SpokenWordsRecipe, argv, __doc__)
        train(SpokenWordsRecipe.load(given.pop("recipe", RECIPE), **given))
        Accelerator().end_training()


if __name__ == "__main__":
    main()
