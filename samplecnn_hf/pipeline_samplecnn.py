"""`pipeline("audio-classification")` for SampleCNN: any audio file at any rate, without ffmpeg or torchaudio."""

import os
from itertools import islice
from numbers import Real

from transformers import AudioClassificationPipeline

from .feature_extraction_samplecnn import SampleCNNFeatureExtractor, read_audio


class SampleCNNAudioClassificationPipeline(AudioClassificationPipeline):
    """
    Labels of audio clips of any length.

    An input is the path or URL of an audio file (wav, flac, ogg, mp3), its bytes, a waveform (numpy array or torch
    tensor) at the model's rate, a dict of one (`"array"` or `"raw"`) and its `"sampling_rate"`, or what `datasets`
    yields, decoded or not; or a list of these, with `batch_size=`. Stereo is mixed down, other rates are resampled,
    short clips padded, long ones segmented.

    Scores are probabilities: softmax, or sigmoid for a multi-label model. Both of these may be given here or at call
    time:

    - `top_k`: labels in an answer at most (5 by default, `None` for all).
    - `threshold`: the lowest score of a label in an answer, which may then be empty: a number, or `"tuned"` for each
      label's own, `config.thresholds`.
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
        if "threshold" in kwargs:
            postprocess["lowest_scores"] = self._lowest_scores(kwargs["threshold"])
        return preprocess, forward, postprocess

    def _lowest_scores(self, threshold: float | str | None) -> dict[str, float] | None:
        """What the caller asked for -> the score of each label from which on it is in the answer."""
        if threshold is None:
            return None
        config = self.model.config
        labels = config.labels
        if threshold != "tuned":
            if not isinstance(threshold, Real) or not 0 <= threshold <= 1:
                raise ValueError(f'threshold must be a number from 0 to 1, or "tuned"; got {threshold!r}')
            return dict.fromkeys(labels, threshold)
        if config.thresholds is None:
            raise ValueError("this model has no tuned thresholds, which only multi-label models get: give a number")
        if len(config.thresholds) != len(labels):
            raise ValueError(
                f"config.thresholds holds {len(config.thresholds)} thresholds for {len(labels)} labels: tune them anew"
            )
        return dict(zip(labels, config.thresholds, strict=True))

    def postprocess(self, model_outputs, top_k=5, function_to_apply=None, lowest_scores=None):
        config = self.model.config
        if function_to_apply is None:
            function_to_apply = "sigmoid" if config.problem_type == "multi_label_classification" else "softmax"
        answer = super().postprocess(model_outputs, top_k=config.num_labels, function_to_apply=function_to_apply)
        if lowest_scores is not None:
            answer = [item for item in answer if item["score"] >= lowest_scores[item["label"]]]
        return list(islice(answer, top_k))

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
