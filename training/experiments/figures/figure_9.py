"""Fig. 9: the excitations of the first block for a quiet, a medium and a loud class."""

import argparse

import numpy as np

from samplecnn_hf.analysis import ClassExcitations, class_excitations, plot_class_excitations
from training.errors import RecipeError

TITLE = "Fig. 9: excitations of the first block for classes of different loudness, section VII-B"
BLOCK_TYPE = "se"
TOGETHER = False


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument(
        "--classes", nargs="+", help="names of those to show (default: the quietest, one in the middle, the loudest)"
    )


def analyse(subject, args) -> tuple[list[dict], dict[str, np.ndarray]]:
    if unknown := [name for name in args.classes or [] if name not in subject.labels]:
        raise RecipeError(f"{subject.name} knows no class {unknown[0]!r}; it knows {', '.join(subject.labels)}")
    means = class_excitations(subject.excitations(), subject.labels)
    classes = means.quiet_medium_loud()
    if args.classes:
        classes = [subject.labels.index(name) for name in dict.fromkeys(args.classes)]
        if silent := [subject.labels[i] for i in classes if not means.num_clips[i]]:
            raise RecipeError(f"no clip of {silent[0]!r} is among the {subject.sounds}: take more clips")
        classes.sort(key=lambda i: means.rms[i])
    excitations = means.excitations[0][classes]
    paper = {classes[0]: "highest excitation"} | {classes[-1]: "lowest excitation"} if len(classes) > 1 else {}
    rows = [
        {
            "model": subject.name,
            "class": subject.labels[i],
            "clips": int(means.num_clips[i]),
            "RMS": float(means.rms[i]),
            "mean excitation of block 1": float(excitation.mean()),
            "paper": paper.get(i),
        }
        for i, excitation in zip(classes, excitations, strict=True)
    ]
    return rows, {"excitations": excitations}


def plots(tables, arrays) -> dict:
    rows = tables["figure_9"]
    names, num_clips, rms = zip(*((row["class"], row["clips"], row["RMS"]) for row in rows), strict=True)
    shown = ClassExcitations(names, np.array(num_clips), np.array(rms), (arrays["excitations"],))
    return {"figure_9": plot_class_excitations(shown, range(len(rows)))}
