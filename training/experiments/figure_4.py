"""Fig. 4: spectrogram-based CNNs against SampleCNNs, from long windows (filters) and hops (strides) to short ones."""

from samplecnn_hf import list_variants, variants
from training.experiments.grid import Cell, score_row
from training.experiments.plots import plot_scores

TITLE = "Fig. 4: mel-spectrogram CNN and SampleCNN by window (filter) and hop (stride), section V-A"


def cells(task, args) -> list[Cell]:
    known = list_variants()
    found = []
    for block_type, block in (("basic", "Basic"), ("se", "SE")):
        for window, hop in variants.STEMS:
            networks = {
                "mel-spectrogram": task.network(f"mel-{block_type}", f"-{window}x{hop}"),
                "waveform": task.network(block_type, f"-stem{window}x{hop}"),
            }
            for front_end, variant in networks.items():
                if variant in known:  # mel-spectrograms stop at 81 samples
                    found.append(Cell(variant, _columns(front_end, block, window, hop)))
        default = task.network(block_type)
        found.append(Cell(default, _columns("waveform", block, 3, 3), paper=task.paper_score(default)))
    return found


def _columns(front_end: str, block: str, window: int, hop: int) -> dict:
    return {"front end": front_end, "block": block, "window/hop": f"{window}/{hop}"}


def tables(task, trained) -> dict[str, list[dict]]:
    return {"figure_4": [score_row(task, run) for run in trained]}


def plots(tables) -> dict:
    rows = [{**row, "series": f"{row['front end']}, {row['block']}"} for row in tables["figure_4"]]
    return {"figure_4": plot_scores(rows, x="window/hop", series="series")}
