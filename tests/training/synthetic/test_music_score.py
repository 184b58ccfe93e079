from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest

from training.synthetic.music import NUM_CLIPS, compose_clip
from training.synthetic.music_score import CLIP_SECONDS, INSTRUMENTS, LEVELS, LINE_UPS, TAG_RULES, true_tags


@pytest.fixture(scope="module")
def scores():
    """The scores of a default run, by folder."""
    by_folder = defaultdict(list)
    for index in range(NUM_CLIPS):
        by_folder[index % 16].append(compose_clip(index, seed=0))
    return by_folder


def test_all_splits_have_clips_with_and_without_each_tag(scores):
    for folders in (range(12), [12], range(13, 16)):  # train, validation, test
        tags = [true_tags(score) for folder in folders for score in scores[folder]]
        for tag in TAG_RULES:
            assert 0 < sum(tag in found for found in tags) < len(tags), tag


def test_tags_are_neither_rare_nor_everywhere(scores):
    tags = [true_tags(score) for folder in scores.values() for score in folder]
    for tag in TAG_RULES:
        assert 0.06 <= np.mean([tag in found for found in tags]) <= 0.5, tag


def test_loudness_does_not_depend_on_the_line_up(scores):
    levels = defaultdict(list)
    for folder in scores.values():
        for score in folder:
            loudness = next(name for name, (low, high) in LEVELS.items() if low <= score.level <= high)
            levels[score.genre, *(part.instrument for part in score.parts)].append(loudness)
    assert len(levels) == len(LINE_UPS)
    for found in levels.values():
        assert all(10 <= found.count(loudness) <= 11 for loudness in LEVELS)  # of 32 clips


def test_tags_name_what_is_played(scores):
    drums, bowed = {"brushes", "drum kit", "drum machine", "hand drums"}, {"cello", "string section", "violin"}
    for folder in scores.values():
        for score in folder:
            tags, instruments = true_tags(score), {part.instrument for part in score.parts}
            assert tags & {"cello", "choir", "flute", "harp", "harpsichord", "piano", "sitar", "violin"} == (
                instruments & TAG_RULES.keys() - {"guitar"}
            )
            assert ("drums" in tags) == bool(instruments & drums)
            assert ("strings" in tags) == bool(instruments & bowed)
            assert ("solo" in tags) == (len({part.program for part in score.parts}) == 1 and not instruments & drums)


def test_fast_music_has_more_onsets_than_slow_music(scores):
    rates = defaultdict(lambda: defaultdict(list))
    for folder in scores.values():
        for score in folder:
            onsets = {note.start for part in score.parts for note in part.notes}
            tempo = next(iter(true_tags(score) & {"slow", "fast"}), "middle")
            line_up = tuple(part.instrument for part in score.parts)
            rates[line_up][tempo].append(len(onsets) / CLIP_SECONDS)
    for by_tempo in rates.values():
        in_order = [by_tempo[tempo] for tempo in ("slow", "middle", "fast") if tempo in by_tempo]
        assert len(in_order) >= 2
        for slower, faster in pairwise(in_order):
            assert max(slower) < min(faster)


def test_notes_lie_in_the_range_of_the_instrument(scores):
    for score in scores[0]:
        for part in score.parts:
            instrument = INSTRUMENTS[part.instrument]
            assert part.program in instrument.programs
            assert all(instrument.low <= note.key <= instrument.high for note in part.notes)
            assert max(note.end for note in part.notes) >= CLIP_SECONDS


def test_no_two_scores_are_alike(scores):
    pieces = [str(score.parts) for folder in scores.values() for score in folder]
    assert len(set(pieces)) == NUM_CLIPS
    assert compose_clip(0, seed=1).parts != compose_clip(0, seed=0).parts
