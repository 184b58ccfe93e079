"""
Registers SampleCNN with the Auto classes of transformers, without importing transformers.

The registration of each Auto class follows the import of its module, whoever imports it first: `import samplecnn_hf`
stays fast, and `AutoModel.from_pretrained` finds SampleCNN whether transformers is imported before or after.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder


def _register_config(module):
    from .configuration_samplecnn import SampleCNNConfig

    module.AutoConfig.register("samplecnn", SampleCNNConfig, exist_ok=True)


def _register_feature_extractor(module):
    from .configuration_samplecnn import SampleCNNConfig
    from .feature_extraction_samplecnn import SampleCNNFeatureExtractor

    module.AutoFeatureExtractor.register(SampleCNNConfig, SampleCNNFeatureExtractor, exist_ok=True)


def _register_models(module):
    from .configuration_samplecnn import SampleCNNConfig
    from .modeling_samplecnn import SampleCNNForAudioClassification, SampleCNNModel

    module.AutoModel.register(SampleCNNConfig, SampleCNNModel, exist_ok=True)
    module.AutoModelForAudioClassification.register(SampleCNNConfig, SampleCNNForAudioClassification, exist_ok=True)


REGISTRATIONS = {
    "transformers.models.auto.configuration_auto": _register_config,
    "transformers.models.auto.feature_extraction_auto": _register_feature_extractor,
    "transformers.models.auto.modeling_auto": _register_models,
}


class RegistrationFinder(MetaPathFinder):
    """Finds the modules of the Auto classes as usual, and adds the registration to their execution."""

    def find_spec(self, name, path=None, target=None):
        if name not in REGISTRATIONS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module):
                execute(module)
                REGISTRATIONS[name](module)

            spec.loader.exec_module = execute_and_register
        return spec


def register_with_auto_classes():
    """Register with the Auto classes that are imported already, and with the others when they are."""
    for name, register in REGISTRATIONS.items():
        if name in sys.modules:
            register(sys.modules[name])
    if not any(isinstance(finder, RegistrationFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, RegistrationFinder())
