"""Random inputs through extractor and pipeline: finite probabilities, or an error in one line, in bounded memory."""

import io
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from samplecnn_hf import SampleCNNAudioClassificationPipeline, SampleCNNFeatureExtractor

NUM_INPUTS = 4000
RATE = 22050
RATES = [RATE, RATE, None, 8000, 44100.0, 1e6, 1000, 999, 0, -1, float("nan"), float("inf"), "44100", True, 10**400]
LENGTHS = [0, 1, 2, 3, 8, 9, 100, 1457, 1458, 1459, 5000]
FORMATS = ["wav", "flac", "ogg", "mp3"]
NUMPY_DTYPES = [*"?bBhHiIlLqQefdgFDGOSUmM", ">f4", ">i2", "V8", "S3", "U2", [("left", "f4"), ("right", "f4")]]
TORCH_DTYPES = [x for x in vars(torch).values() if isinstance(x, torch.dtype)]


class Odd:
    """Looks like what it is not."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def __repr__(self):
        return "odd\nobject"


class Fuzz:
    def __init__(self, seed, folder):
        self.random, self.numpy, self.folder = random.Random(seed), np.random.default_rng(seed), folder
        sound = self.numpy.uniform(-0.5, 0.5, (3000, 2))
        self.files = []
        for name in FORMATS:
            buffer = io.BytesIO()
            soundfile.write(buffer, sound, RATE, format=name)
            self.files.append(buffer.getvalue())

    def __call__(self):
        kinds = [*[self.array, self.file] * 3, self.tensor, self.numbers, self.dict, self.odd]
        return self.random.choice([*kinds, self.path, self.address, self.object])()

    def array(self):
        shape = [self.random.choice(LENGTHS) for _ in range(self.random.choice([0, 1, 1, 1, 2, 2, 2, 3]))]
        if np.prod(shape) > 1e5:
            shape = shape[:1]
        scale = self.random.choice([0, 1e-30, 1, 1, 1, 1, 100, 1e5, 1e36, 1e300, np.nan, np.inf])
        with np.errstate(all="ignore"):
            try:
                array = (scale * self.numpy.uniform(-1, 1, shape)).astype(self.random.choice(NUMPY_DTYPES))
            except (ValueError, TypeError):  # such as numbers to dates
                array = np.zeros(shape, self.random.choice(NUMPY_DTYPES))
        return self.random.choice([array, np.transpose(array), np.asarray(array)[..., ::-1] if shape else array])

    def tensor(self):
        shape = [self.random.choice(LENGTHS[:-1]) for _ in range(self.random.choice([0, 1, 1, 2]))]
        try:
            tensor = (torch.rand(shape) - 0.5).to(self.random.choice(TORCH_DTYPES))
        except (RuntimeError, NotImplementedError):  # a dtype that has no arithmetic
            tensor = torch.zeros(shape)
        change = self.random.choice(["", "", "meta", "sparse", "grad", "conj", "nested", "quantized"])
        if change == "meta":
            return tensor.to("meta")
        if change == "sparse" and tensor.dtype == torch.float32:
            return tensor.to_sparse()
        if change == "grad" and tensor.is_floating_point():
            return tensor.requires_grad_()
        if change == "conj" and tensor.is_complex():
            return tensor.conj()
        if change == "nested":
            return torch.nested.nested_tensor([torch.zeros(3), torch.zeros(5)], layout=torch.jagged)
        if change == "quantized":
            return torch.quantize_per_tensor(torch.rand(100), 0.1, 0, torch.quint8)
        return tensor

    def content(self) -> bytes:
        """An audio file with some bytes changed, cut out or doubled."""
        content = bytearray(self.random.choice(self.files))
        for _ in range(self.random.choice([0, 1, 3, 30])):
            place = self.random.randrange(len(content) if self.random.random() < 0.5 else 100) % (len(content) or 1)
            mutation = self.random.randrange(4)
            if mutation == 0:
                content[place : place + 1] = bytes([self.random.randrange(256)])
            elif mutation == 1:
                content[place : place + 4] = self.random.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"])
            elif mutation == 2:
                del content[place : place + self.random.randrange(1, 500)]
            else:
                content[place:place] = content[place : place + self.random.randrange(1, 500)]
        return bytes(content)

    def file(self):
        content = self.content()
        path = self.folder / f"sound.{self.random.choice([*FORMATS, 'raw', 'txt', ''])}"
        path.write_bytes(content)
        return self.random.choice([bytes, bytearray, memoryview, io.BytesIO, lambda _: path, lambda _: str(path)])(
            content
        )

    def numbers(self):
        values = [0.0, 0.5, -1, 1, 10**400, 1e300, float("nan"), True, None, "a", b"a", 1j, [], [0.5], (0.1, 0.2), {}]
        few = self.random.sample(values, self.random.randrange(1, 4))
        return self.random.choice([list, tuple])(self.random.choices(few, k=self.random.choice([0, 1, 2, 50])))

    def dict(self):
        keys = ["array", "raw", "sampling_rate", "path", "bytes", "role", "content", 5]
        return {
            key: self.random.choice(RATES) if key == "sampling_rate" else self.random.choice([self.array, self.file])()
            for key in self.random.sample(keys, self.random.randrange(len(keys)))
        }

    def text(self):
        alphabet = "aZ0/.\\:\0\n\t ~%ü漢\ud800\x7f*?$`'\""
        return "".join(self.random.choices(alphabet, k=self.random.choice([0, 1, 5, 300, 5000])))

    def path(self):
        return self.random.choice(
            [self.text(), str(self.folder), "/dev/null", "/dev/zero", "/proc/self/mem", "/", ".", "..", "~", "-"]
        )

    def address(self):
        """Nothing that leaves the machine."""
        scheme = self.random.choice(["http", "https", "HTTP", "ftp", "file", "hf", "javascript", "data"])
        host = self.random.choice(["", "127.0.0.1:1", "127.0.0.1:99999", "[::1", "[::1]:x", "\0", "a" * 300, ".."])
        return f"{scheme}://{host}/{self.text()}"

    def odd(self):
        return self.random.choice(
            [
                Odd(detach=lambda: None),
                Odd(read=lambda n=-1: b""),
                Odd(read=lambda n=-1: "", seekable=lambda: True, seek=lambda n: 0, tell=lambda: 0),
                Odd(get_all_samples=lambda: Odd(data=torch.zeros(2, 100), sample_rate=self.random.choice(RATES))),
                Odd(ndim=1, shape=(5,), dtype="float32"),
                io.StringIO("text"),
                range(1000),
                {0.5, 0.25},
                iter([0.5]),
                memoryview(np.zeros(100, np.float32)),
                np.ma.masked_array([0.5, 0.25], [True, False]),
                np.float32(0.5),
                np.ndarray,
                torch.Tensor,
                lambda: None,
                Exception("an error\nof two lines"),
            ]
        )

    def object(self):
        return self.random.choice([None, True, False, 0, 1, -1, 0.5, 1j, ..., NotImplemented, object(), object, Odd()])


def outcome(call):
    """What `call` returns, or None after a good error."""
    try:
        return call()
    except (ValueError, TypeError, OSError) as error:
        message = str(error)
        assert message and "\n" not in message, repr(message)
        return None


def megabytes(field: str) -> float:
    return int(Path("/proc/self/status").read_text().partition(f"{field}:")[2].split()[0]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.filterwarnings("ignore")  # of torch, about its own prototypes
def test_random_inputs(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(tmp_path)
    extractor = SampleCNNFeatureExtractor(segment_length=1458)
    pipe = SampleCNNAudioClassificationPipeline(model=tiny_model, feature_extractor=extractor, top_k=None)
    fuzz = Fuzz(0, tmp_path)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    before = megabytes("VmRSS")
    answered = refused = 0
    for _ in range(NUM_INPUTS):
        given, rate = fuzz(), fuzz.random.choice(RATES) if fuzz.random.random() < 0.3 else None
        features = outcome(lambda given=given, rate=rate: extractor(given, sampling_rate=rate))
        if features is not None:
            assert np.isfinite(features["input_values"]).all()
            assert features["attention_mask"].any(1).all()
        answers = outcome(lambda given=given, rate=rate: pipe(given, sampling_rate=rate))
        if answers is None:
            refused += 1
            continue
        answered += 1
        for answer in answers if isinstance(given, (list, tuple)) else [answers]:
            scores = [item["score"] for item in answer]
            assert len(scores) == 7 and all(0 <= score <= 1 for score in scores)
            assert sum(scores) == pytest.approx(1, abs=1e-4)
    grown = megabytes("VmHWM") - before
    assert answered > NUM_INPUTS / 10 and refused > NUM_INPUTS / 3
    assert grown < 300, f"{grown:.0f} MB"
    print(f"{answered} answers, {refused} errors, {grown:.0f} MB")
