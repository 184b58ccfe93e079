"""SampleCNN for the Hugging Face ecosystem: audio classification on the raw waveform."""

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification

from .configuration_samplecnn import SampleCNNConfig
from .feature_extraction_samplecnn import SampleCNNFeatureExtractor
from .modeling_samplecnn import SampleCNNForAudioClassification, SampleCNNModel, SampleCNNPreTrainedModel
from .pipeline_samplecnn import SampleCNNAudioClassificationPipeline
from .variants import create_config, list_variants

__version__ = "0.1.0"

__all__ = [
    "SampleCNNAudioClassificationPipeline",
    "SampleCNNConfig",
    "SampleCNNFeatureExtractor",
    "SampleCNNForAudioClassification",
    "SampleCNNModel",
    "SampleCNNPreTrainedModel",
    "create_config",
    "list_variants",
]

# For the Auto classes, once this package is imported.
AutoConfig.register("samplecnn", SampleCNNConfig, exist_ok=True)
AutoModel.register(SampleCNNConfig, SampleCNNModel, exist_ok=True)
AutoModelForAudioClassification.register(SampleCNNConfig, SampleCNNForAudioClassification, exist_ok=True)
AutoFeatureExtractor.register(SampleCNNConfig, SampleCNNFeatureExtractor, exist_ok=True)

# Save the code with models, so that they load where this package is not installed.
SampleCNNConfig.register_for_auto_class()
SampleCNNModel.register_for_auto_class("AutoModel")
SampleCNNForAudioClassification.register_for_auto_class("AutoModelForAudioClassification")
SampleCNNFeatureExtractor.register_for_auto_class()
