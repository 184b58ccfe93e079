"""
Fig. 4: spectrogram-based CNNs and SampleCNNs, from long windows (filters) and hops (strides) to short ones.

The paper gives the filter, the stride and the number of blocks. It does not say where the channels of the remaining
blocks double, nor what happens where a stride does not divide 22,050 samples. For both, the registry
makes an assumption, and an option selects the alternative. Table II has the same options, Fig. 5 has --partial_frames.

--channels: channels of the remaining blocks, as multiples of the stem's (`first_doubling`). The authors' code, which
has no such stems, doubles by the index from the bottom: restart.

    stem                restart (assumed)     keep: the upper blocks of the full network
    59,049 samples
    3/3                 1 1 2 2 2 2 2 2 4     the same
    9/9                 1 1 2 2 2 2 2 4       1 2 2 2 2 2 2 4
    27/27               1 1 2 2 2 2 4         2 2 2 2 2 2 4
    81/81, 243/81       1 1 2 2 2 4           2 2 2 2 2 4
    243/243, 729/243    1 1 2 2 4             2 2 2 2 4
    729/729             1 1 2 4               2 2 2 4
    22,050 samples: one block fewer, from 1 1 2 2 2 2 2 4 down to
    729/729             1 1 2                 2 2 4

--partial_frames: zeros before and after 22,050 samples, and frames of the stem or mel-spectrogram. There is no
difference for 59,049 samples, nor for 9/9 and 3/3. The authors' own stems are 3/3, where it makes no
difference: that of 2018 drops ("valid"), that of 2019 pads ("same").

    stem       drop (assumed)                                          pad: Keras' padding="same"
    729/729    0 + 0       30 frames, the last 180 samples dropped     274 + 275   31 frames
    729/243    243 + 243   90 frames                                   274 + 275   91 frames
    243/243    0 + 0       90 frames, the last 180 samples dropped     31 + 32     91 frames
    243/81     81 + 81     272 frames                                  112 + 113   273 frames
    81/81      0 + 0       272 frames, the last 18 samples dropped     31 + 32     273 frames
    27/27      0 + 0       816 frames, the last 18 samples dropped     4 + 5       817 frames

One frame is left after the last block either way.
"""

from dataclasses import dataclass
from typing import Literal

from samplecnn_hf import list_variants, variants
from training.experiments.experiment import GridExperiment
from training.experiments.grid import Network
from training.experiments.plots import plot_scores
from training.options import option


@dataclass(frozen=True)
class PartialFramesExperiment(GridExperiment):
    """Networks with strides that may not divide the segment length."""

    partial_frames: Literal["drop", "pad"] = option(
        "drop",
        "how to handle samples at the end of a segment that do not fill a stride (default: drop)",
    )

    def partial_frames_kwargs(self) -> dict:
        """Fields in which a network's config differs from the registry's."""
        return {} if self.partial_frames == "drop" else {"partial_frames": self.partial_frames}


@dataclass(frozen=True)
class StemExperiment(PartialFramesExperiment):
    """Networks with long stems."""

    channels: Literal["restart", "keep"] = option(
        "restart",
        "channels of the blocks above a longer stem: doubled again from the stem upwards, or kept as in the full "
        "network (default: restart)",
    )

    def stem_kwargs(self, window: int, hop: int) -> dict:
        """Fields in which the config of a network with this stem differs from the registry's."""
        kwargs = self.partial_frames_kwargs()
        if self.channels == "keep" and (window, hop) in variants.STEMS:
            fewer_blocks, _ = variants.STEMS[window, hop]
            kwargs["first_doubling"] = max(0, 2 - fewer_blocks)
        return kwargs


class Figure4(StemExperiment):
    name = "figure_4"
    title = "Fig. 4: mel-spectrogram CNN and SampleCNN by window (filter) and hop (stride), section V-A"

    def networks(self, task):
        networks = []
        for block_type, block in (("basic", "Basic"), ("se", "SE")):
            for window, hop in variants.STEMS:
                stem = f"{window}x{hop}"
                mel, waveform = task.variant(f"mel-{block_type}", f"-{stem}"), task.variant(block_type, f"-stem{stem}")
                if mel in list_variants():  # the shortest window is 81 samples
                    networks.append(self._network(mel, "mel-spectrogram", block, window, hop))
                networks.append(self._network(waveform, "waveform", block, window, hop))
            default = task.variant(block_type)
            networks.append(self._network(default, "waveform", block, 3, 3, task.paper_score(default)))
        return networks

    def _network(self, variant: str, front_end: str, block: str, window: int, hop: int, paper=None) -> Network:
        columns = {"front end": front_end, "block": block, "window/hop": f"{window}/{hop}"}
        return Network(variant, columns, paper, self.stem_kwargs(window, hop))

    def plots(self, tables):
        rows = [{**row, "series": f"{row['front end']}, {row['block']}"} for row in tables["figure_4"]]
        return {"figure_4": plot_scores(rows, x="window/hop", series="series")}
