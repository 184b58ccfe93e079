import csv
import importlib.util
import sys
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from training.data import load_source
from training.errors import DataError
from training.synthetic import music
from training.synthetic.music import INSTALL, NUM_CLIPS, compose_clip, play, write_music
from training.synthetic.music_score import CLIP_SECONDS, INSTRUMENTS, LEVELS, LINE_UPS, TAG_RULES, true_tags

FEW = 18  # each line-up once, and two clips in the first folders
SEGMENT = 59_049  # samples, 2.7 s

has_synthesizer = all(map(importlib.util.find_spec, ("tinysoundfont", "pretty_midi")))
needs_synthesizer = pytest.mark.skipif(not has_synthesizer, reason=INSTALL)


@pytest.fixture(scope="module")
def music_dir(tmp_path_factory):
    if not has_synthesizer:
        pytest.skip(INSTALL)
    return write_music(tmp_path_factory.mktemp("music") / "clips", FEW, num_workers=2)


@pytest.fixture(scope="module")
def decoded(music_dir):
    """(tags, sound, sample rate) of each clip, as the table and the mp3 files tell."""
    with (music_dir / "annotations_final.csv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        ({tag for tag in TAG_RULES if row[tag] == "1"}, *soundfile.read(music_dir / "mp3" / row["mp3_path"]))
        for row in rows
    ]


@pytest.fixture(scope="module")
def scores():
    """The scores of a default run, by folder."""
    by_folder = defaultdict(list)
    for index in range(NUM_CLIPS):
        by_folder[index % 16].append(compose_clip(index, seed=0))
    return by_folder


def read_all(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def dbfs(sound):
    return 10 * np.log10(np.mean(sound**2))


# Files


@pytest.mark.parametrize("name", ["magnatagatune", "magnatagatune-26k"])
def test_reads_back_through_the_loaders(music_dir, name):
    source = load_source(name, music_dir)
    assert set(source.labels) == set(TAG_RULES)
    assert {split: len(clips) for split, clips in source.splits.items()} == {"train": 14, "validation": 1, "test": 3}
    tags = [{source.labels[i] for i in clip.labels} for clips in source.splits.values() for clip in clips]
    assert sorted(map(sorted, tags)) == sorted(sorted(true_tags(compose_clip(index, 0))) for index in range(FEW))


def test_clips_are_long_enough_and_do_not_clip(decoded):
    for _, sound, sample_rate in decoded:
        assert (sample_rate, sound.shape) == (22_050, (646_065,))
        assert 29.1 < len(sound) / sample_rate < 29.5
        assert np.abs(sound).max() < 0.99


def test_loudness_is_that_of_the_tags(decoded):
    assert {tag for tags, _, _ in decoded for tag in tags} > {"loud", "quiet", "soft"}
    for tags, sound, _ in decoded:
        low, high = LEVELS[next(iter(tags & {"loud", "quiet"}), "middle")]
        assert low - 0.1 < dbfs(sound) < high + 0.1
        assert "soft" not in tags or "quiet" in tags


def test_every_segment_is_as_loud_as_its_clip(decoded):
    for _, sound, _ in decoded:
        segments = sound[: 10 * SEGMENT].reshape(10, SEGMENT)
        assert np.abs([dbfs(segment) - dbfs(sound) for segment in segments]).max() < 5


@pytest.mark.slow
def test_files_do_not_depend_on_the_number_of_workers(music_dir, tmp_path):
    again = write_music(tmp_path / "clips", FEW, num_workers=1)
    assert read_all(again) == read_all(music_dir)


# Sound


@needs_synthesizer
@pytest.mark.parametrize("index", [0, 1])
def test_loudness_is_lost_when_segments_are_normalised(index):
    score = compose_clip(index, seed=0)
    quiet, loud = (play(score._replace(level=level)) for level in (-38, -12))
    assert (dbfs(quiet), dbfs(loud)) == (pytest.approx(-38), pytest.approx(-12))
    np.testing.assert_allclose(quiet / quiet.std(), loud / loud.std(), atol=1e-9)


@needs_synthesizer
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_every_program_of_an_instrument_is_heard_throughout(instrument):
    line_up = next(i for i, line_up in enumerate(LINE_UPS) if instrument in line_up.parts)
    score = compose_clip(16 * line_up, seed=0)
    part = next(part for part in score.parts if part.instrument == instrument)
    for program in INSTRUMENTS[instrument].programs:
        sound = play(score._replace(level=-20, parts=[part._replace(program=program)]))
        segments = sound[: 10 * SEGMENT].reshape(10, SEGMENT)
        assert min(map(dbfs, segments)) > -26


# Scores


def test_all_splits_have_clips_with_and_without_each_tag(scores):
    for folders in (range(12), [12], range(13, 16)):  # train, validation, test
        tags = [true_tags(score) for folder in folders for score in scores[folder]]
        for tag in TAG_RULES:
            assert 0 < sum(tag in heard for heard in tags) < len(tags), tag


def test_tags_are_neither_rare_nor_everywhere(scores):
    tags = [true_tags(score) for folder in scores.values() for score in folder]
    for tag in TAG_RULES:
        assert 0.06 <= np.mean([tag in heard for heard in tags]) <= 0.5, tag


def test_loudness_does_not_depend_on_the_line_up(scores):
    levels = defaultdict(list)
    for folder in scores.values():
        for score in folder:
            loudness = next(name for name, (low, high) in LEVELS.items() if low <= score.level <= high)
            levels[score.genre, *(part.instrument for part in score.parts)].append(loudness)
    assert len(levels) == len(LINE_UPS)
    for heard in levels.values():
        assert all(10 <= heard.count(loudness) <= 11 for loudness in LEVELS)  # of 32 clips


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


# Errors


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_clips": 15}, "num_clips must be at least 16"),
        ({"num_workers": 0}, "num_workers must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_faulty_arguments(tmp_path, arguments, message):
    with pytest.raises(DataError, match=message):
        write_music(tmp_path / "music", **arguments)
    assert not list(tmp_path.iterdir())


@needs_synthesizer
@pytest.mark.parametrize("package", ["tinysoundfont", "pretty_midi"])
def test_missing_package(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=f"{package}.* is missing: pip install --no-deps tinysoundfont pretty_midi"):
        write_music(tmp_path / "music")
    assert not list(tmp_path.iterdir())


@needs_synthesizer
def test_nothing_is_left_of_a_run_that_fails(tmp_path, monkeypatch):
    def fill_the_disk(folder, *_):
        (folder / "0" / "first.mp3").touch()
        raise OSError("No space left on device")

    monkeypatch.setattr(music, "_play_all", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        write_music(tmp_path / "music")
    assert not list(tmp_path.iterdir())


def test_command_line_leaves_an_existing_folder_alone(tmp_path):
    with pytest.raises(SystemExit, match="^error: .* already exists: delete it or choose another output_dir$"):
        music.main(["--output_dir", str(tmp_path)])
    assert not list(tmp_path.iterdir())
