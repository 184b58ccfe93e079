"""Scores and recipe of an imaginary run, for its card."""

SINGLE_LABEL = {
    "metrics": {
        "validation": {"loss": 0.5, "accuracy": 0.75, "accuracy@0.5": 0.5, "f1_macro": 0.7},
        "test": {"loss": 0.6, "accuracy": 0.71234567, "accuracy@0.5": 0.45, "f1_macro": 0.65},
    },
    "interval": {"validation": [0.7, 0.8], "test": [0.68, 0.74]},
    "per_label": {
        "validation": [{"label": "validation only", "clips": 4, "precision": 1.0, "recall": 1.0, "f1": 1.0}],
        "test": [
            {"label": "yes", "clips": 9, "precision": 0.875, "recall": 1.0, "f1": 0.9333333},
            {"label": "no|nope", "clips": 0, "precision": None, "recall": None, "f1": None},
        ],
    },
    "confusion_matrix": {"validation": [[4, 0], [0, 0]], "test": [[9, 0], [0, 0]]},
}
MULTI_LABEL = {
    "metrics": {"validation": {"loss": 0.1, "labels_scored": 1, "f1_samples@0.1": 0.3, "f1_samples@tuned": 0.8}},
    "interval": {"validation": None},
    "per_label": {
        "validation": [
            {"label": "guitar", "positives": 3, "roc_auc": 0.9, "f1@tuned": 0.8, "threshold": 0.25},
            {"label": "flute", "positives": 0, "roc_auc": None, "f1@tuned": None, "threshold": 0.5},
        ]
    },
    "unscored_labels": {"validation": ["flute"]},
}

RECIPE = {
    "output_dir": "runs/mine",
    "data_dir": "sounds/birds",
    "license": "mit",
    "data_license": None,
    "language": None,
    "variant": "se-8",
    "model_kwargs": {},
    "pretrained": None,
    "do_normalize": False,
    "learning_rate": 0.01,
    "seed": 7,
}
