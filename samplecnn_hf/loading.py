"""Trained models for commands: whatever is wrong with a folder is said in one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers.utils import logging

from .feature_extraction_samplecnn import SampleCNNFeatureExtractor
from .modeling_samplecnn import SampleCNNForAudioClassification
from .text import one_line

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
    model_id: str | os.PathLike, **kwargs
) -> tuple[SampleCNNForAudioClassification, SampleCNNFeatureExtractor]:
    """
    A trained classifier and its feature extractor, as `from_pretrained` of each loads them.

    Args:
        model_id: a folder or a Hub id.
        kwargs: of the model's `from_pretrained`.

    Raises:
        OSError: there is no such model, it is damaged, or it has no classifier. The message is one line.
    """
    with loading(model_id), _without_report():
        model, info = SampleCNNForAudioClassification.from_pretrained(
            model_id, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs
        )
        if info["missing_keys"]:
            raise ValueError("it has no trained classifier, only a part of one; train it first")
        if info["mismatched_keys"] or info["unexpected_keys"]:
            raise ValueError("its weights are those of another network than config.json describes; save it again")
        extractor = SampleCNNFeatureExtractor.from_pretrained(model_id)
        if extractor.segment_length < model.config.min_samples:
            raise ValueError("the segment_length of preprocessor_config.json is too short for its network")
        return model, extractor


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
