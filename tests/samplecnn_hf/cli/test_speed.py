import re

from samplecnn_hf import cli


def test_benchmark(pretrained, capsys):
    cli.main(["benchmark", str(pretrained), "--seconds=0"])
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["one", "segment", "long", "recording"]
    name, latency, speed = re.fullmatch(r"(\S+ \S+, \S+) +([\d.]+) ms +(\d+) s per s", row).groups()
    assert name in ("torch float32, cpu", "torch bfloat16, cpu") and float(latency) > 0 and float(speed) > 1
