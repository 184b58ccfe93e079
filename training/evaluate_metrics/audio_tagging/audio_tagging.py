"""
`multi_label_metrics` of `training.loop.metrics` for the library `evaluate`.

    metric = evaluate.load("training/evaluate_metrics/audio_tagging")
    metric.compute(predictions=probabilities, references=targets)  # both [clips, labels]
"""

import datasets
import evaluate
import numpy as np

from training.loop.metrics import multi_label_metrics


class AudioTagging(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=multi_label_metrics.__doc__,
            citation="",
            inputs_description=(
                "predictions: probabilities [clips, labels]. references: zeros and ones [clips, labels]. thresholds: "
                "optional, per-label decision thresholds."
            ),
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Sequence(datasets.Value("int64")),
                }
            ),
        )

    def _compute(self, predictions, references, thresholds=None):
        return multi_label_metrics(np.asarray(predictions), np.asarray(references), thresholds)
