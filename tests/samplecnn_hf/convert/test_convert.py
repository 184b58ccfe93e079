import json

import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, PreTrainedConfig

from samplecnn_hf import SampleCNNConfig, cli, create_config
from samplecnn_hf.convert import STATISTICS, convert_checkpoint, read_labels
from samplecnn_hf.convert.files import ConvertError

pytest.importorskip("h5py", reason="needs h5py: pip install 'samplecnn-hf[convert]'")
pytest.importorskip("keras", reason="needs Keras: pip install keras")

from tests.samplecnn_hf.convert.networks import KerasNetwork, PlainNetwork  # noqa: E402
from training.paper import PAPER  # noqa: E402

# Keras with its torch backend on NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BLOCK_TYPES = ["basic", "se", "res1", "res2", "rese1", "rese2"]
LABELS = ["bird", "cat", "cow"]
SINGLE, MULTI = "single_label_classification", "multi_label_classification"
TOLERANCE = 1e-4


def assert_same_logits(network, folder, samples):
    waveforms = 0.5 * torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    model = AutoModelForAudioClassification.from_pretrained(folder)
    with torch.no_grad():
        logits = model(waveforms).segment_logits[:, 0]
    expected = network.logits(waveforms).float()
    assert (expected[0] - expected[1]).abs().max() > 0.1
    torch.testing.assert_close(logits, expected, atol=TOLERANCE, rtol=0)
    return model.config


# Keras


@pytest.mark.parametrize("default_names", [False, True], ids=["sampleaudio", "resemul"])
@pytest.mark.parametrize("multi_level", [False, True], ids=["last", "multi"])
@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_networks_of_the_authors(tmp_path, block_type, multi_level, default_names):
    network = KerasNetwork(block_type, multi_level, default_names=default_names)
    folder = convert_checkpoint(network.save(tmp_path / "final.h5"), tmp_path / "converted", LABELS)
    config = assert_same_logits(network, folder, 729)
    expected = create_config(
        "test-basic", block_type=block_type, multi_level=multi_level, segment_length=729, problem_type=MULTI
    )
    for name in SampleCNNConfig.__annotations__.keys() - PreTrainedConfig.__annotations__.keys():
        assert getattr(config, name) == getattr(expected, name), name
    assert config.labels == LABELS


@pytest.mark.parametrize("default_names", [False, True], ids=["sampleaudio", "resemul"])
@pytest.mark.parametrize("block_type", ["basic", "rese2"])
def test_weights_alone(tmp_path, block_type, default_names):
    network = KerasNetwork(block_type, default_names=default_names)
    file = network.save(tmp_path / "weights.h5", whole=False)
    with pytest.raises(ConvertError, match="give --problem_type"):
        convert_checkpoint(file, tmp_path / "converted", LABELS)
    folder = convert_checkpoint(file, tmp_path / "converted", LABELS, SINGLE)
    assert assert_same_logits(network, folder, 729).problem_type == SINGLE


def test_variables_of_a_later_model_of_the_session(tmp_path):
    """TensorFlow 1 numbers the variables of a model that is loaded again, as the authors' training does."""
    network = KerasNetwork("se")
    folder = convert_checkpoint(network.save(tmp_path / "final.h5", scope="_4"), tmp_path / "converted", LABELS)
    assert_same_logits(network, folder, 729)


def test_file_of_keras_3(tmp_path):
    network = KerasNetwork("rese1", multi_level=True)
    network.model.save(tmp_path / "model.h5")
    assert_same_logits(network, convert_checkpoint(tmp_path / "model.h5", tmp_path / "converted", LABELS), 729)
    network.model.save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ConvertError, match="weights file of Keras 3.*model.save"):
        convert_checkpoint(tmp_path / "model.weights.h5", tmp_path / "other", LABELS, SINGLE)


@pytest.mark.parametrize("last_kernel", [1, 3])
def test_plain_network_of_keras(tmp_path, last_kernel):
    network = KerasNetwork("plain", default_names=True, last_kernel=last_kernel)
    folder = convert_checkpoint(network.save(tmp_path / "final.h5"), tmp_path / "converted", LABELS)
    config = assert_same_logits(network, folder, 729)
    assert (config.block_type, config.num_blocks, config.batch_norm_eps) == ("basic", 5, 1e-3)


@pytest.mark.parametrize(
    "stem, expected",
    [
        ({"stem_pool": True}, (3, 3, 0)),
        ({"stem_kernel": 9, "stem_stride": 9}, (9, 9, 1)),
        ({"stem_kernel": 9, "stem_stride": 3}, (9, 3, 1)),
    ],
    ids=["pooled", "9x9", "9x3"],
)
def test_stems(tmp_path, stem, expected):
    network = KerasNetwork("se", **stem)
    folder = convert_checkpoint(network.save(tmp_path / "final.h5"), tmp_path / "converted", LABELS)
    config = assert_same_logits(network, folder, expected[1] * 3**5)
    assert (config.stem_kernel_size, config.stem_stride, config.num_strided_convolutions) == expected
    assert config.segment_length == expected[1] * 3**5


@pytest.mark.parametrize("ratio", [0.0625, 0.25, 1, 2, 16])
@pytest.mark.parametrize("block_type", ["se", "rese1"])
def test_ratio_of_the_squeeze(tmp_path, block_type, ratio):
    network = KerasNetwork(block_type, squeeze_ratio=ratio, channels=16, num_blocks=3)
    folder = convert_checkpoint(network.save(tmp_path / "final.h5"), tmp_path / "converted", LABELS)
    assert assert_same_logits(network, folder, 81).se_ratio == ratio


def test_epsilon_of_the_file(tmp_path):
    network = KerasNetwork(epsilon=0.01)
    folder = convert_checkpoint(network.save(tmp_path / "final.h5"), tmp_path / "converted", LABELS)
    assert assert_same_logits(network, folder, 729).batch_norm_eps == 0.01


@pytest.mark.parametrize("activation, problem_type", [("sigmoid", MULTI), ("softmax", SINGLE)])
@pytest.mark.parametrize("default_names", [False, True])
def test_problem_type_follows_from_the_activation(tmp_path, activation, problem_type, default_names):
    network = KerasNetwork(num_blocks=2, activation=activation, default_names=default_names)
    file = network.save(tmp_path / "final.h5")
    other = SINGLE if problem_type == MULTI else MULTI
    with pytest.raises(ConvertError, match=f"ends with {activation}: its problem type is {problem_type}"):
        convert_checkpoint(file, tmp_path / "converted", LABELS, other)
    folder = convert_checkpoint(file, tmp_path / "converted", LABELS)
    assert json.loads((folder / "config.json").read_text())["problem_type"] == problem_type


def test_segments_and_statistics_of_speech_commands(tmp_path):
    """Segments of 22,050 samples, which max-pooling does not divide evenly, standardised as in the authors' code."""
    network = KerasNetwork("rese2", num_blocks=8, num_labels=35, channels=4, squeeze_ratio=0.25, activation="softmax")
    labels = [f"word {i}" for i in range(35)]
    folder = convert_checkpoint(network.save(tmp_path / "final.h5"), tmp_path / "converted", labels)
    assert assert_same_logits(network, folder, 22050).segment_length == 22050
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    assert (extractor.segment_length, extractor.sampling_rate) == (22050, 22050)
    assert (extractor.mean, extractor.std) == (-8.520474e-05, 0.18)


@pytest.mark.slow
def test_real_size(tmp_path):
    """SE+multi of tae-jun/resemul, as it can be downloaded: 9 blocks of 128 to 512 channels, a ratio of 16."""
    network = KerasNetwork("se", True, 9, 128, 50, 16, default_names=True)
    labels = [f"tag {i}" for i in range(50)]
    folder = convert_checkpoint(network.save(tmp_path / "final.h5"), tmp_path / "converted", labels)
    config = assert_same_logits(network, folder, 59049)
    assert (config.stem_channels, config.num_blocks, config.segment_length, config.se_ratio) == (128, 9, 59049, 16)
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    assert (extractor.mean, extractor.std) == (0, 1)  # only tae-jun/sampleaudio standardises


# PyTorch


@pytest.mark.parametrize("last_kernel", [1, 3])
@pytest.mark.parametrize("style", ["conv", "sequential", "layer"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_plain_networks_of_pytorch(tmp_path, style, last_kernel, suffix, save_state):
    network = PlainNetwork(style, last_kernel=last_kernel)
    file = save_state(network.state_dict(), suffix)
    with pytest.raises(ConvertError, match="give --problem_type"):
        convert_checkpoint(file, tmp_path / "converted", LABELS)
    folder = convert_checkpoint(file, tmp_path / "converted", LABELS, MULTI)
    config = assert_same_logits(network, folder, 729)
    assert (config.batch_norm_eps, config.batch_norm_momentum) == (1e-5, 0.1)
    assert config.sampling_rate == AutoFeatureExtractor.from_pretrained(folder).sampling_rate
    assert config.sampling_rate == (16000 if style == "layer" else 22050)


@pytest.mark.parametrize("wrap", ["module.", "model.encoder."])
def test_state_dict_in_a_checkpoint(tmp_path, save_state, wrap):
    network = PlainNetwork()
    state = {f"{wrap}{name}": tensor for name, tensor in network.state_dict().items()}
    old = {name: tensor.double() for name, tensor in state.items() if "num_batches" not in name}
    file = save_state({"epoch": 3, "state_dict": old}, ".ckpt")
    folder = convert_checkpoint(file, tmp_path / "converted", LABELS, SINGLE, sampling_rate=8000)
    assert assert_same_logits(network, folder, 729).sampling_rate == 8000
    assert AutoFeatureExtractor.from_pretrained(folder).sampling_rate == 8000


# The folder


def test_folder_is_complete(tmp_path, save_state):
    folder = convert_checkpoint(save_state(PlainNetwork().state_dict()), tmp_path / "a" / "converted", LABELS, SINGLE)
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors",
        "config.json",
        "preprocessor_config.json",
        "audio_samplecnn.py",
        "configuration_samplecnn.py",
        "containers_samplecnn.py",
        "events_samplecnn.py",
        "feature_extraction_samplecnn.py",
        "inference_samplecnn.py",
        "layers_samplecnn.py",
        "modeling_samplecnn.py",
        "pipeline_samplecnn.py",
        "segments_samplecnn.py",
        "windows_samplecnn.py",
    }
    assert [path.name for path in folder.parent.iterdir()] == ["converted"]
    assert oct(folder.stat().st_mode) == oct(folder.parent.stat().st_mode)  # not only for its owner


def test_nothing_is_overwritten(tmp_path, save_state):
    file = save_state(PlainNetwork().state_dict())
    (tmp_path / "converted").mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        convert_checkpoint(file, tmp_path / "converted", LABELS, SINGLE)


def test_nothing_is_left_behind(tmp_path, save_state, monkeypatch):
    from samplecnn_hf import SampleCNNFeatureExtractor

    def fail(*arguments, **keywords):
        raise OSError("no space left on device")

    monkeypatch.setattr(SampleCNNFeatureExtractor, "save_pretrained", fail)
    file = save_state(PlainNetwork().state_dict())
    with pytest.raises(OSError, match="no space"):
        convert_checkpoint(file, tmp_path / "converted", LABELS, SINGLE)
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    "labels, message",
    [
        (["a", "b"], "the network has 3 outputs, but 2 labels were given"),
        (["a", "b", ""], "label 3 is empty"),
        (["a", "b", "a"], "the label 'a' is given twice"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, save_state, labels, message):
    file = save_state(PlainNetwork().state_dict())
    with pytest.raises(ConvertError, match=message):
        convert_checkpoint(file, tmp_path / "converted", labels, SINGLE)


def test_sampling_rate_that_is_not_positive(tmp_path, save_state):
    with pytest.raises(ConvertError, match="^sampling_rate must be a number between 1000 and 1000000 Hz; got 0$"):
        convert_checkpoint(save_state(PlainNetwork().state_dict()), tmp_path / "out", LABELS, SINGLE, sampling_rate=0)


def test_labels(tmp_path):
    (tmp_path / "labels.txt").write_text("guitar\r\nno voice\r\nfemale, singing\r\n\n", encoding="utf-8-sig")
    assert read_labels(str(tmp_path / "labels.txt")) == ["guitar", "no voice", "female, singing"]
    assert read_labels("guitar, no voice,piano") == ["guitar", "no voice", "piano"]
    assert len(read_labels(",".join(f"label {i}" for i in range(1000)))) == 1000
    with pytest.raises(ConvertError, match="there is no file .*nowhere.txt"):
        read_labels(str(tmp_path / "nowhere.txt"))


def test_command(tmp_path, capsys, save_state):
    file, output = save_state(PlainNetwork().state_dict()), tmp_path / "converted"
    command = ["convert", str(file), str(output), "--labels", "a,b,c"]
    with pytest.raises(SystemExit, match="^error: the file does not contain [^\n]+$"):
        cli.main(command)
    cli.main([*command, "--problem_type", SINGLE, "--sampling_rate", "16000"])
    assert capsys.readouterr().out == f"{output}\n"
    assert AutoModelForAudioClassification.from_pretrained(output).config.labels == ["a", "b", "c"]
    with pytest.raises(SystemExit, match="^error: .* exists already: [^\n]+$"):
        cli.main([*command, "--problem_type", SINGLE])


def test_statistics_are_those_of_the_paper():
    assert list(STATISTICS.values()) == list(PAPER["input_constants"].values())
