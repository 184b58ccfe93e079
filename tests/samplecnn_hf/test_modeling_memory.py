"""Memory does not grow with the length of the audio."""

import json
import subprocess
import sys

import pytest

# Peak memory of a process that classifies ten seconds, then an hour, in segments of one second.
MEASURE = """
import json, resource, sys
import torch
from samplecnn_hf import SampleCNNForAudioClassification, create_config

def peak():  # bytes; on Linux it is given in kB
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

torch.set_num_threads(1)
options = json.loads(sys.argv[1])
dtype = getattr(torch, options["dtype"])
config = create_config("se-8", num_labels=50, stem_channels=8, segment_length=22050)
model = SampleCNNForAudioClassification(config).eval()

def classify(seconds):
    clip = torch.empty(1, seconds, 22050, dtype=dtype).uniform_(-1, 1)
    mask = (torch.arange(seconds) % 10 != 9).long()[None] if options["mask"] else None
    with torch.inference_mode():
        output = model(clip, attention_mask=mask)
    assert output.segment_logits.shape == (1, seconds, 50) and output.logits.isfinite().all()
    return clip.nbytes

classify(10)
before = peak()
input_size = classify(3600)
print(json.dumps({"before": before, "growth": peak() - before - input_size}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is given in other units")
@pytest.mark.parametrize("options", [{"mask": False}, {"mask": True}, {"mask": True, "dtype": "float64"}], ids=str)
def test_an_hour_needs_the_memory_of_ten_seconds(options):
    arguments = [sys.executable, "-c", MEASURE, json.dumps({"dtype": "float32", **options})]
    process = subprocess.run(arguments, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    measured = json.loads(process.stdout)
    assert measured["growth"] < 300e6, measured
