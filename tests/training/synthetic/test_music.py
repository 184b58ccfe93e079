import csv
import importlib.util
import sys

import numpy as np
import pytest
import soundfile

from training.data import load_source
from training.errors import DataError
from training.synthetic import music
from training.synthetic.music import INSTALL, compose_clip, play, write_music
from training.synthetic.music_score import INSTRUMENTS, LEVELS, LINE_UPS, TAG_RULES, true_tags

FEW = 18  # each line-up once, and two clips in the first folders
SEGMENT = 59_049  # samples, 2.7 s

has_synthesizer = all(map(importlib.util.find_spec, ("tinysoundfont", "pretty_midi")))
needs_synthesizer = pytest.mark.skipif(not has_synthesizer, reason=INSTALL)


@pytest.fixture(scope="module")
def music_dir(tmp_path_factory):
    if not has_synthesizer:
        pytest.skip(INSTALL)
    output_dir = tmp_path_factory.mktemp("music") / "clips"
    write_music(output_dir, FEW, num_workers=2)
    return output_dir


@pytest.fixture(scope="module")
def decoded(music_dir):
    """(tags, sound, sample rate) of each clip, from the table and the mp3 files."""
    with (music_dir / "annotations_final.csv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        ({tag for tag in TAG_RULES if row[tag] == "1"}, *soundfile.read(music_dir / "mp3" / row["mp3_path"]))
        for row in rows
    ]


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
    write_music(tmp_path / "clips", FEW, num_workers=1)
    assert read_all(tmp_path / "clips") == read_all(music_dir)


# Sound


@needs_synthesizer
@pytest.mark.parametrize("index", [0, 1])
def test_loudness_is_lost_when_segments_are_normalized(index):
    score = compose_clip(index, seed=0)
    quiet, loud = (play(score._replace(level=level)) for level in (-38, -12))
    assert (dbfs(quiet), dbfs(loud)) == (pytest.approx(-38), pytest.approx(-12))
    np.testing.assert_allclose(quiet / quiet.std(), loud / loud.std(), atol=1e-9)


@needs_synthesizer
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_every_program_of_an_instrument_is_audible_throughout(instrument):
    line_up = next(i for i, line_up in enumerate(LINE_UPS) if instrument in line_up.parts)
    score = compose_clip(16 * line_up, seed=0)
    part = next(part for part in score.parts if part.instrument == instrument)
    for program in INSTRUMENTS[instrument].programs:
        sound = play(score._replace(level=-20, parts=[part._replace(program=program)]))
        segments = sound[: 10 * SEGMENT].reshape(10, SEGMENT)
        assert min(map(dbfs, segments)) > -26


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


def test_command_line_leaves_an_existing_folder_alone(tmp_path):
    with pytest.raises(SystemExit, match="^error: .* already exists: delete it or choose another output_dir$"):
        music.main(["--output_dir", str(tmp_path)])
    assert not list(tmp_path.iterdir())
