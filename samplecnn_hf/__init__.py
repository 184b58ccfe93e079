"""
SampleCNN for the Hugging Face ecosystem: audio classification on the raw waveform.

Importing the package is fast: torch and transformers are imported when a name that needs them is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .registration import register_with_auto_classes

if TYPE_CHECKING:
    from .configuration_samplecnn import SampleCNNConfig
    from .feature_extraction_samplecnn import SampleCNNFeatureExtractor
    from .keywords import KeywordDetector
    from .modeling_samplecnn import SampleCNNForAudioClassification, SampleCNNModel, SampleCNNPreTrainedModel
    from .pipeline_samplecnn import SampleCNNAudioClassificationPipeline
    from .streaming import SampleCNNStream
    from .variants import create_config, list_variants

__version__ = "0.1.0"

_MODULES = {
    "KeywordDetector": "keywords",
    "SampleCNNAudioClassificationPipeline": "pipeline_samplecnn",
    "SampleCNNConfig": "configuration_samplecnn",
    "SampleCNNFeatureExtractor": "feature_extraction_samplecnn",
    "SampleCNNForAudioClassification": "modeling_samplecnn",
    "SampleCNNModel": "modeling_samplecnn",
    "SampleCNNPreTrainedModel": "modeling_samplecnn",
    "SampleCNNStream": "streaming",
    "create_config": "variants",
    "list_variants": "variants",
}

__all__ = [
    "KeywordDetector",
    "SampleCNNAudioClassificationPipeline",
    "SampleCNNConfig",
    "SampleCNNFeatureExtractor",
    "SampleCNNForAudioClassification",
    "SampleCNNModel",
    "SampleCNNPreTrainedModel",
    "SampleCNNStream",
    "create_config",
    "list_variants",
]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_with_auto_classes()
