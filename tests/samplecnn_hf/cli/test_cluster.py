import shutil
import sys
import threading
import time

import pytest

from samplecnn_hf import cli

NUM_FILES = 600


@pytest.fixture
def two_nodes(monkeypatch):
    """A Ray cluster of two nodes on this machine; the second one may be killed."""
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path))
    options = {"num_cpus": 2, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    second = cluster.add_node(**options)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster, second
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
def test_every_file_is_answered_once_although_a_node_dies(two_nodes, pretrained, write_tone, tmp_path, capsys):
    import pandas

    cluster, second = two_nodes
    tone = write_tone(seconds=0.1)
    (tmp_path / "sounds").mkdir()
    for i in range(NUM_FILES):
        shutil.copy(tone, tmp_path / "sounds" / f"{i:03}.wav")
    (tmp_path / "sounds" / "broken.wav").write_bytes(b"no audio")
    parts_when_killed = []

    def kill_half_way():
        while len(parts := list((tmp_path / "out.unfinished").glob("*.parquet"))) < 3:
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)
        parts_when_killed.extend(parts)

    thread = threading.Thread(target=kill_half_way, daemon=True)
    thread.start()
    pattern, output = (tmp_path / "sounds").as_uri() + "/**/*.wav", (tmp_path / "out").as_uri()
    with pytest.raises(SystemExit) as end:
        cli.main(["classify", pattern, "-m", str(pretrained), "--engine=ray", "--top_k=1", "-o", output])
    assert end.value.code == 1
    assert 3 <= len(parts_when_killed) < len(list((tmp_path / "out").glob("*.parquet")))
    deadline = time.monotonic() + 60  # until Ray has noticed, on a busy machine
    while all(node["Alive"] for node in sys.modules["ray"].nodes()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert sorted(node["Alive"] for node in sys.modules["ray"].nodes()) == [False, True]
    assert capsys.readouterr().err.splitlines()[-1] == f"1 of {NUM_FILES + 1} files could not be read"
    table = pandas.read_parquet(tmp_path / "out")
    assert list(table.columns) == ["file", "label", "score", "error"]
    files = sorted((tmp_path / "sounds").iterdir())
    assert sorted(table.file) == [file.as_uri() for file in files]
    assert table[table.error.notna()].file.tolist() == [files[-1].as_uri()]
    assert table.label.nunique() == 1 and table.score.nunique() == 1  # all are the same tone


def test_ray_needs_an_output(pretrained, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["classify", str(tmp_path), "-m", str(pretrained), "--engine=ray"])
    assert "--engine ray needs --output" in capsys.readouterr().err


@pytest.mark.parametrize("existing", ["out", "out.unfinished"])
def test_an_output_that_exists(write_tone, pretrained, tmp_path, existing):
    pytest.importorskip("ray", reason="needs the extra ray")
    (tmp_path / existing).mkdir()
    with pytest.raises(SystemExit, match="^error: .* exists already: remove it, or give another --output$"):
        cli.main(["classify", str(write_tone()), "-m", str(pretrained), "--engine=ray", "-o", str(tmp_path / "out")])


def test_without_ray(write_tone, pretrained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit, match="^error: --engine ray needs Ray: pip install 'samplecnn-hf.ray.'$"):
        cli.main(["classify", str(write_tone()), "-m", str(pretrained), "--engine=ray", "-o", str(tmp_path / "out")])
