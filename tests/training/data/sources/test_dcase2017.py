import random

import pytest

from training.data import load_source
from training.data.sources import dcase2017
from training.errors import DataError

# Rows of each class in the training and in the testing set, as the organizers count them
# (training_set_num_files_per_class.csv and testing_set_num_files_per_class.csv beside the ground truths).
CLASS_SIZES = {
    "Train horn": (345, 30),
    "Air horn, truck horn": (313, 30),
    "Car alarm": (180, 30),
    "Reversing beeps": (245, 30),
    "Ambulance (siren)": (524, 32),
    "Police car (siren)": (2364, 35),
    "Fire engine, fire truck (siren)": (2288, 35),
    "Civil defense siren": (1409, 31),
    "Screaming": (636, 30),
    "Bicycle": (1897, 30),
    "Skateboard": (1516, 30),
    "Car": (25077, 60),
    "Car passing by": (3598, 32),
    "Bus": (3617, 31),
    "Truck": (6885, 60),
    "Motorcycle": (3162, 30),
    "Train": (2075, 50),
}
NUM_FILES = {"training": 51172, "testing": 488}
# The real tables give 5,618 files: 57 fewer than a tenth of each class makes, since so many are drawn for two of their
# classes. How many are depends on which files have two; with this seed it is the same number.
SEED = 11


def make_rows(class_sizes, num_files, prefix, rng):
    """(file, label) with so many rows of each class, sorted by class; some files have two classes."""
    names = rng.sample([name for name, size in class_sizes.items() for _ in range(size)], sum(class_sizes.values()))
    rows = [(f"{prefix}{i:05}_30.000_40.000.wav", name) for i, name in enumerate(names[:num_files])]
    singles = rng.sample(rows, num_files)
    for name in names[num_files:]:
        partner = next(i for i in reversed(range(len(singles))) if singles[i][1] != name)
        rows.append((singles.pop(partner)[0], name))
    order = list(class_sizes)
    return sorted(rows, key=lambda row: order.index(row[1]))


def write_table(folder, name, rows):
    lines = [f"{file}\t30.000\t40.000\t{label}\n" for file, label in rows]
    (folder / f"groundtruth_weak_label_{name}_set.csv").write_text("".join(lines))


@pytest.fixture(scope="module")
def full_size(paper, tmp_path_factory):
    """Tables with as many files, and rows of each class, as the real ones; which file has which label is invented."""
    folder = tmp_path_factory.mktemp("dcase2017")
    rng = random.Random(SEED)
    tables = {
        name: make_rows({label: sizes[i] for label, sizes in CLASS_SIZES.items()}, number, name, rng)
        for i, (name, number) in enumerate(NUM_FILES.items())
    }
    num_test = paper["datasets"]["dcase2017"]["splits"]["test"]
    tables["evaluation"] = [(f"e{i}.wav", dcase2017.LABELS[i % 17]) for i in range(num_test)]
    for name, rows in tables.items():
        write_table(folder, name, rows)
    return folder, tables


def test_split_sizes(full_size, paper, split_sizes):
    source = load_source("dcase2017", full_size[0])
    assert source.problem_type == paper["datasets"]["dcase2017"]["problem_type"]
    assert split_sizes(source) == paper["datasets"]["dcase2017"]["splits"]


def test_files_keep_all_their_labels(full_size):
    folder, tables = full_size
    source = load_source("dcase2017", folder)
    loaded = {
        (clip.path.name.removeprefix("Y"), source.labels[label])
        for clips in source.splits.values()
        for clip in clips
        for label in clip.labels
    }
    assert loaded == {row for rows in tables.values() for row in rows}


def test_a_tenth_of_each_class_is_drawn(full_size, paper):
    _, tables = full_size
    rows = [(file, dcase2017.LABELS.index(label)) for file, label in tables["training"] + tables["testing"]]
    drawn = dcase2017.draw_validation(rows)
    fraction = paper["splits"]["dcase2017"]["validation_fraction"]
    for label, name in enumerate(dcase2017.LABELS):
        of_class = [file in drawn for file, row_label in rows if row_label == label]
        assert len(of_class) == sum(CLASS_SIZES[name])
        # at least; files drawn for their other label come on top
        assert round(fraction * len(of_class)) <= sum(of_class) < 0.2 * len(of_class)


def test_draw_is_that_of_the_authors_code():
    rows = [(str(i), 3) for i in range(40)]
    # list(pandas.DataFrame(rows).sample(frac=0.1, random_state=123)[0])
    assert dcase2017.draw_validation(rows) == {"6", "10", "12", "38"}


@pytest.mark.parametrize("size", [4, 5, 15, 25, 35, 441, 25744])
def test_draw_is_that_of_pandas(size):
    """As the authors' code calls it; half rows are rounded to even numbers."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"file": [str(i) for i in range(size)]})
    expected = set(frame.sample(frac=0.1, random_state=123)["file"])
    assert dcase2017.draw_validation([(file, 0) for file in frame["file"]]) == expected


def test_file_in_both_development_sets_keeps_all_its_labels(small):
    write_table(small, "testing", [*TESTING, ("-t1.wav", "Train")])
    source = load_source("dcase2017", small)
    labels = {clip.path.name: clip.labels for split in ("train", "validation") for clip in source.splits[split]}
    assert [source.labels[i] for i in labels["Y-t1.wav"]] == ["Bus", "Train"]
    assert len(labels) == 11


def test_constants_are_the_papers(paper):
    assert dcase2017.VALIDATION_FRACTION == paper["splits"]["dcase2017"]["validation_fraction"]
    assert dcase2017.VALIDATION_SEED == paper["splits"]["dcase2017"]["validation_seed"]
    assert len(dcase2017.LABELS) == paper["datasets"]["dcase2017"]["num_labels"]
    assert dcase2017.LABELS == list(CLASS_SIZES)  # the order of the challenge's description


TRAINING = [(f"-t{i}.wav", "Bus") for i in range(10)] + [("-t0.wav", "Air horn, truck horn")]
TESTING = [("x.wav", "Train")]
EVALUATION = [("e.wav", "Bus"), ("e.wav", "Car"), ("f.wav", "Train")]


@pytest.fixture
def small(tmp_path):
    """The whole layout; empty files do for audio."""
    for name, rows in {"training": TRAINING, "testing": TESTING, "evaluation": EVALUATION}.items():
        write_table(tmp_path, name, rows)
        folder = tmp_path / dcase2017.AUDIO_FOLDERS[name]
        folder.mkdir()
        for file, _ in rows:
            (folder / f"Y{file}").touch()
    return tmp_path


def test_layout(small, split_sizes):
    source = load_source("dcase2017", small)
    assert split_sizes(source) == {"train": 10, "validation": 1, "test": 2}
    assert all(clip.path.is_file() for clips in source.splits.values() for clip in clips)
    labels = {clip.path.name: [source.labels[i] for i in clip.labels] for clip in source.splits["test"]}
    assert labels == {"Ye.wav": ["Car", "Bus"], "Yf.wav": ["Train"]}


@pytest.mark.parametrize("name", dcase2017.AUDIO_FOLDERS)
@pytest.mark.parametrize(
    "table, message",
    [
        (None, "{name}_set.csv is missing"),
        ("", "{name}_set.csv has no rows"),
        ("a.wav,0,10,Bus\n", "{name}_set.csv needs four columns separated by tabs"),
        ("a.wav\t0\t10\tBus\na.wav\tBus\n", "{name}_set.csv: row 2 has 2 columns instead of 4"),
        ("file\tstart\tend\tlabel\n", "{name}_set.csv: row 1: 'label' is not a known label"),
        (
            "a.wav\t0\t10\tBus\r\na.wav\t0\t10\tTram\r\n",
            "{name}_set.csv: row 2: 'Tram' is not a known label: correct",
        ),
        ("a\t0\t1\tTram\nb\t0\t1\tBoat\n", "{name}_set.csv: row 1: 'Tram' is not a known label .and 1 more like it"),
        ("/../../a.wav\t0\t10\tBus\n", "{name}_set.csv: '/../../a.wav' leads out of the folder"),
    ],
)
def test_faulty_data(small, name, table, message):
    path = small / f"groundtruth_weak_label_{name}_set.csv"
    path.unlink()
    if table is not None:
        path.write_text(table)
    with pytest.raises(DataError, match=message.format(name=name)) as error:
        load_source("dcase2017", small)
    assert "\n" not in str(error.value)


def test_too_few_clips_for_a_validation_split(small):
    write_table(small, "training", TRAINING[:3])
    with pytest.raises(DataError, match="no validation clips of dcase2017"):
        load_source("dcase2017", small)
