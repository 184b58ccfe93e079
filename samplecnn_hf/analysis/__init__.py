"""Analyses of trained networks: filters (section VI), excitations and loudness (section VII), and their figures."""

from .excitations import ClassExcitations, ClipExcitations, ExcitationRecorder, class_excitations, rms
from .filters import FilterEstimates, estimate_filters, input_rms, log_likeness, mel_curve
from .loudness import LoudnessRelation, dbfs, relate_to_loudness
from .plots import (
    plot_class_excitations,
    plot_clip_excitations,
    plot_deviations,
    plot_filters,
    plot_loudness,
    plot_timeline,
)

__all__ = [
    "ClassExcitations",
    "ClipExcitations",
    "ExcitationRecorder",
    "FilterEstimates",
    "LoudnessRelation",
    "class_excitations",
    "dbfs",
    "estimate_filters",
    "input_rms",
    "log_likeness",
    "mel_curve",
    "plot_class_excitations",
    "plot_clip_excitations",
    "plot_deviations",
    "plot_filters",
    "plot_loudness",
    "plot_timeline",
    "relate_to_loudness",
    "rms",
]
