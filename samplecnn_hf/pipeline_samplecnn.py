"""`pipeline("audio-classification")` for SampleCNN: any audio file at any rate, without ffmpeg or torchaudio."""

import os

from transformers import AudioClassificationPipeline

from .feature_extraction_samplecnn import SampleCNNFeatureExtractor, read_audio


class SampleCNNAudioClassificationPipeline(AudioClassificationPipeline):
    """
    Labels of audio clips of any length.

    An input is the path or URL of an audio file (wav, flac, ogg, mp3), its bytes, a waveform (numpy array or torch
    tensor) at the model's rate, a dict of one (`"array"` or `"raw"`) and its `"sampling_rate"`, or what `datasets`
    yields, decoded or not; or a list of these, with `batch_size=`. Stereo is mixed down, other rates are resampled,
    short clips padded, long ones segmented.

    `top_k` (5 by default, `None` for all labels) may be given here or at call time. Scores are probabilities: softmax,
    or sigmoid for a multi-label model.
    """

    @classmethod
    def from_pretrained(
        cls, model_id: str | os.PathLike, *, revision: str = "main", token=None, dtype="auto", **kwargs
    ):
        """
        Load model and feature extractor of a folder or Hub id with this package's code, not with the folder's.

        `revision`, `token` and `dtype` are those of any `from_pretrained`; the rest (`device`, `top_k`, ...) goes to
        the pipeline.
        """
        from .modeling_samplecnn import SampleCNNForAudioClassification

        hub = {"revision": revision, "token": token}
        model = SampleCNNForAudioClassification.from_pretrained(model_id, dtype=dtype, **hub)
        extractor = SampleCNNFeatureExtractor.from_pretrained(model_id, **hub)
        return cls(model=model, feature_extractor=extractor, **kwargs)

    def _sanitize_parameters(self, **kwargs):
        preprocess, forward, postprocess = super()._sanitize_parameters(**kwargs)
        # What the parent fills in, differently from release to release, would override what was asked for before.
        if "top_k" not in kwargs:
            postprocess.pop("top_k", None)
        if kwargs.get("function_to_apply") is None:
            postprocess.pop("function_to_apply", None)
        return preprocess, forward, postprocess

    def postprocess(self, model_outputs, top_k=5, function_to_apply=None):
        config = self.model.config
        if function_to_apply is None:
            function_to_apply = "sigmoid" if config.problem_type == "multi_label_classification" else "softmax"
        top_k = min(top_k, config.num_labels)
        return super().postprocess(model_outputs, top_k=top_k, function_to_apply=function_to_apply)

    def preprocess(self, inputs):
        audio, sampling_rate = self._load(inputs)
        features = self.feature_extractor(audio, sampling_rate=sampling_rate, return_tensors="pt")
        return features.to(dtype=self.dtype)

    def _load(self, inputs):
        """Whatever the caller passed -> samples and their rate in Hz."""
        if isinstance(inputs, dict) and (inputs.get("bytes") or inputs.get("path")) and "array" not in inputs:
            inputs = inputs.get("bytes") or inputs["path"]
        if isinstance(inputs, str) and inputs.startswith(("http://", "https://")):
            inputs = _download(inputs)
        if isinstance(inputs, (str, os.PathLike, bytes)):
            return read_audio(inputs)
        if hasattr(inputs, "get_all_samples"):  # the AudioDecoder that `datasets` yields
            samples = inputs.get_all_samples()
            return samples.data, samples.sample_rate
        if isinstance(inputs, dict):
            audio = next((inputs[key] for key in ("array", "raw") if inputs.get(key) is not None), None)
            if audio is None or inputs.get("sampling_rate") is None:
                raise ValueError('a dict of audio needs "array" (or "raw") and "sampling_rate"')
            return audio, inputs["sampling_rate"]
        return inputs, self.feature_extractor.sampling_rate


def _download(url: str) -> bytes:
    from huggingface_hub import get_session

    response = get_session().get(url, follow_redirects=True)
    response.raise_for_status()
    return response.content
