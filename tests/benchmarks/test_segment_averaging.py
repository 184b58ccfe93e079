import datasets

from benchmarks import segment_averaging
from training import cross_validate


def test_results(tmp_path, write_tone, results, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for name in ("high", "low"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(8):
            write_tone(f"data/{name}/{i % 2 + 1}-{i}.wav", seconds=0.2)
    data, runs = str(tmp_path / "data"), str(tmp_path / "runs")
    cross_validate.main(
        [f"--data_dir={data}", f"--output_dir={runs}", "--variant=test-se", "--num_epochs=1", "--schedule=cosine"]
    )
    segment_averaging.main([runs, data])
    written = results("segment_averaging")
    assert written["folds"] == 2 and list(written["mean"]) == list(segment_averaging.SEGMENTS)
    assert all(0 <= scores["accuracy"] <= 1 and scores["loss"] > 0 for scores in written["mean"].values())
