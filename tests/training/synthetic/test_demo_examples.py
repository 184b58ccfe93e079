import numpy as np
import pytest
import soundfile

from training.synthetic.demo_examples import WORDS, main

RATE = 8000


def test_examples(tmp_path):
    speech, music, out = tmp_path / "speech", tmp_path / "music", tmp_path / "examples"
    out.mkdir()
    takes = {"train": 1, "validation": 1, "test": 2}
    listed = {split: [] for split in takes}
    for word in WORDS:
        (speech / word).mkdir(parents=True)
        for split, count in takes.items():
            for i in range(count):
                soundfile.write(speech / word / f"{split}{i}.wav", np.full(RATE // 10, 0.1 * i), RATE)
                listed[split].append(f"{word}/{split}{i}.wav")
    (speech / "validation_list.txt").write_text("\n".join(listed["validation"]))
    (speech / "testing_list.txt").write_text("\n".join(listed["test"]))
    pieces = [f"{folder}/{folder}.wav" for folder in "0cde"]
    for piece in pieces:
        (music / piece).parent.mkdir(parents=True)
        soundfile.write(music / piece, np.random.default_rng(0).uniform(-0.5, 0.5, (13 * RATE, 2)), RATE)
    rows = [("clip_id", "harp", "mp3_path"), *((str(i), "1", piece) for i, piece in enumerate(pieces))]
    (music / "annotations_final.csv").write_text("\n".join(map("\t".join, rows)))

    main(["--speech", str(speech), "--music", str(music), "--output_dir", str(out)])
    lengths = {path.name: soundfile.info(path).duration for path in out.iterdir()}
    seconds = {"left.flac": 0.1, "stop.flac": 0.1, "three_words.flac": 5.4, "music.ogg": 12}
    assert lengths == pytest.approx(seconds)
