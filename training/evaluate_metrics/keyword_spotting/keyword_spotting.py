"""
`single_label_metrics` of `training.loop.metrics` for the library `evaluate`.

    metric = evaluate.load("training/evaluate_metrics/keyword_spotting")
    metric.compute(predictions=probabilities, references=labels)  # [clips, labels] and [clips]
"""

import datasets
import evaluate
import numpy as np

from training.loop.metrics import single_label_metrics


class KeywordSpotting(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=single_label_metrics.__doc__,
            citation="",
            inputs_description="predictions: probabilities [clips, labels]. references: indices of labels [clips].",
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Value("int64"),
                }
            ),
        )

    def _compute(self, predictions, references):
        return single_label_metrics(np.asarray(predictions), np.asarray(references))
