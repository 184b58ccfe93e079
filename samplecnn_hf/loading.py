"""Trained models for commands: whatever is wrong with a folder is said in one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers.utils import logging

from .feature_extraction_samplecnn import SampleCNNFeatureExtractor
from .modeling_samplecnn import SampleCNNForAudioClassification
from .text import one_line

CLASSIFIER = "classifier."  # how the names of its weights begin
# What `from_pretrained` raises for damaged weights and for JSON with values of wrong types, some of them deep inside
# transformers. A RecursionError is a RuntimeError.
LOADING_ERRORS = (
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    ValueError,
)


@contextmanager
def loading(model_id: str | os.PathLike) -> Iterator[None]:
    """Raise `OSError`, in one line, where there is no such model and for whatever `from_pretrained` raises."""
    _check_place(model_id)
    try:
        yield
    except LOADING_ERRORS as error:
        reason = error.__cause__ or error if isinstance(error, StrictDataclassError) else error
        raise OSError(one_line(f"cannot load the model {model_id}: {str(reason) or repr(reason)}")) from error


def load_classifier(
    model_id: str | os.PathLike,
) -> tuple[SampleCNNForAudioClassification, SampleCNNFeatureExtractor]:
    """
    A trained classifier, in float32, and its feature extractor.

    Args:
        model_id: a folder or a Hub id.

    Raises:
        OSError: there is no such model, it is damaged, or it has no classifier. The message is one line.
    """
    with loading(model_id):
        model, extractor, faulty_keys = _load(model_id)
        if any(key.startswith(CLASSIFIER) for key in faulty_keys):
            raise ValueError("it has no trained classifier, only a part of one; train it first")
        return model, extractor


def load_for_fine_tuning(
    model_id: str | os.PathLike, **config
) -> tuple[SampleCNNForAudioClassification, SampleCNNFeatureExtractor]:
    """As `load_classifier`, but with a new output layer where the labels are others; `config` replaces fields."""
    with loading(model_id):
        return _load(model_id, **config)[:2]


def _load(model_id: str | os.PathLike, **config):
    """Model, feature extractor, and the keys of the classifier that are missing, superfluous or of another size."""
    with _without_report():
        model, info = SampleCNNForAudioClassification.from_pretrained(
            model_id, output_loading_info=True, ignore_mismatched_sizes=True, dtype=torch.float32, **config
        )
    mismatched = {key for key, *_ in info["mismatched_keys"]}
    faulty_keys = {*info["missing_keys"], *info["unexpected_keys"], *mismatched}
    if any(not key.startswith(CLASSIFIER) for key in faulty_keys):
        raise ValueError("its weights are those of another network than config.json describes; save it again")
    extractor = SampleCNNFeatureExtractor.from_pretrained(model_id)
    if extractor.segment_length < model.config.min_samples:
        raise ValueError("the segment_length of preprocessor_config.json is too short for its network")
    return model, extractor, faulty_keys


def _check_place(model_id: str | os.PathLike):
    """Raise `OSError` for what was meant to be a folder and is not, and for a folder without its JSON files."""
    path = Path(model_id)
    if path.is_dir():
        for name in ("config.json", "preprocessor_config.json"):
            if not (path / name).is_file():  # transformers would take the default configuration
                raise OSError(one_line(f"{model_id} has no {name}: give the folder of a trained model"))
    elif path.exists() or path.parent.is_dir() or path.is_absolute() or str(model_id).count("/") != 1:
        raise OSError(one_line(f"there is no model in {model_id}: give the folder of a trained model, or a Hub id"))


@contextmanager
def _without_report() -> Iterator[None]:
    """Without the table of keys that transformers logs: what is wrong with them is an error here."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
