"""Load trained models; all errors are raised as an `OSError` whose message is one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers.utils import logging

from .feature_extraction_samplecnn import SampleCNNFeatureExtractor
from .files import check_location
from .modeling_samplecnn import SampleCNNForAudioClassification, SampleCNNModel
from .text import one_line

CARD = "README.md"
CLASSIFIER_PREFIX = "classifier."  # of the names of the classifier's weights
# Raised by `from_pretrained` for damaged weights and for wrong types in JSON. RecursionError is a RuntimeError.
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
    """Convert all errors of `from_pretrained` to an `OSError` whose message is one line."""
    check_location(model_id)
    try:
        yield
    except LOADING_ERRORS as error:
        reason = error.__cause__ or error if isinstance(error, StrictDataclassError) else error
        raise OSError(one_line(f"cannot load the model {model_id}: {str(reason) or repr(reason)}")) from error


def load_classifier(
    model_id: str | os.PathLike,
) -> tuple[SampleCNNForAudioClassification, SampleCNNFeatureExtractor]:
    """
    Load a trained classifier, in float32, and its feature extractor.

    Args:
        model_id: Folder or Hub id of a model.

    Returns:
        The model and the feature extractor.

    Raises:
        OSError: The model does not exist, is damaged, or has no classifier. The message is one line.
    """
    with loading(model_id):
        model, extractor, faulty_keys = _load(model_id)
        if faulty_keys:
            raise ValueError("it has no trained classifier: fine-tune it first")
        return model, extractor


def load_encoder(model_id: str | os.PathLike) -> tuple[SampleCNNModel, SampleCNNFeatureExtractor]:
    """
    Load a model without its classifier, in float32, and its feature extractor.

    Args:
        model_id: Folder or Hub id of a model.

    Returns:
        The model and the feature extractor.

    Raises:
        OSError: The model does not exist or is damaged. The message is one line.
    """
    with loading(model_id):
        model, extractor, _ = _load(model_id)
        return model.samplecnn, extractor


def load_for_fine_tuning(
    model_id: str | os.PathLike, **config
) -> tuple[SampleCNNForAudioClassification, SampleCNNFeatureExtractor]:
    """
    Load a model as `load_classifier` does, with a newly initialized output layer if the number of labels differs.

    Args:
        model_id: Folder or Hub id of a model.
        **config: Fields of `SampleCNNConfig` to override, such as `id2label`.

    Returns:
        The model and the feature extractor.

    Raises:
        OSError: The model does not exist or is damaged. The message is one line.
    """
    with loading(model_id):
        return _load(model_id, **config)[:2]


def model_license(model_id: str | os.PathLike | None) -> str | None:
    """
    Return the license on the card of a model. None: there is no model, no card or no license.

    Raises:
        OSError: The card of a model on the Hub cannot be read.
    """
    path = Path(model_id or "", CARD)
    if model_id is None or (Path(model_id).is_dir() and not path.is_file()):
        return None
    with loading(model_id):
        return ModelCard.load(path if path.is_file() else model_id).data.license


def _load(model_id: str | os.PathLike, **config):
    """Load model and feature extractor; also return the classifier's missing, unexpected and mismatched keys."""
    with _without_report():
        model, info = SampleCNNForAudioClassification.from_pretrained(
            model_id, output_loading_info=True, ignore_mismatched_sizes=True, dtype=torch.float32, **config
        )
    mismatched = {key for key, *_ in info["mismatched_keys"]}
    faulty_keys = {*info["missing_keys"], *info["unexpected_keys"], *mismatched}
    if any(not key.startswith(CLASSIFIER_PREFIX) for key in faulty_keys):
        raise ValueError("its weights do not match config.json: save the model again")
    extractor = SampleCNNFeatureExtractor.from_pretrained(model_id)
    extractor.check_network(model.config)
    return model, extractor, faulty_keys


@contextmanager
def _without_report() -> Iterator[None]:
    """Suppress transformers' report on missing keys, which are an error here."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
