import pytest
import torch

from samplecnn_hf import SampleCNNFeatureExtractor, SampleCNNModel, create_config, list_variants, windows_samplecnn
from samplecnn_hf.windows_samplecnn import OverlappingWindows, choose_level, shareable_levels, timeline_logits

RATIOS = (3, pytest.param(20, marks=pytest.mark.slow))  # of the length of a window and the hop


@pytest.fixture
def assert_shared(make_model):
    """assert_shared(config, hop_length): windows that share layers are embedded like the same windows one by one."""

    def check(variant, hop_length, num_windows=3, dtype=torch.float32, tolerance=1e-5, optimized=False, **overrides):
        model = make_model(variant, SampleCNNModel, **overrides).to(dtype)
        if optimized:
            model.optimize_for_inference()
        length = model.config.segment_length
        samples = torch.randn(length + (num_windows - 1) * hop_length, generator=torch.Generator().manual_seed(0))
        windows = samples.to(dtype).unfold(0, length, hop_length)
        with torch.no_grad():
            expected = model(windows.unsqueeze(1)).segment_embeddings.squeeze(1)
            timeline = SampleCNNFeatureExtractor(segment_length=length, hop_length=hop_length)
            found = OverlappingWindows(model, timeline).embed(windows)
        assert found.dtype == expected.dtype == dtype
        assert expected.std() > 1e-3
        assert (found - expected).abs().max() <= tolerance * max(1, expected.abs().max())

    return check


def hop_of(level, config, ratio):
    """About 1 / ratio of a window, on the grid of a level."""
    return max(1, round(config.segment_length / ratio / level.grid)) * level.grid


@pytest.mark.parametrize("variant", list_variants())
@pytest.mark.parametrize("ratio", RATIOS)
def test_every_network_at_every_level(variant, ratio, assert_shared, monkeypatch):
    config = create_config(variant, stem_channels=4)
    levels = [each for each in shareable_levels(config, config.segment_length) if each.frames > 2 * each.edge]
    assert bool(levels) == (not variant.startswith(("rese", "test-rese")))
    for level in levels:
        monkeypatch.setattr(windows_samplecnn, "choose_level", lambda *args, level=level: level)
        assert_shared(variant, hop_of(level, config, ratio), stem_channels=4)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["basic-9", "se-9", "res2-9", "rese2-9", "se-8", "basic-8", "res1-8-strided4"])
def test_networks_of_the_papers_size(variant, assert_shared):
    assert_shared(variant, 2187, num_windows=9)


@pytest.mark.parametrize("length", [1458, 1459, 1600, 2186])
@pytest.mark.parametrize("variant", ["test-basic", "test-se", "test-res1", "test-res2", "test-rese1"])
@pytest.mark.parametrize("hop_length", [27, 81, 100, 243, 500])
def test_any_length_and_hop(variant, length, hop_length, assert_shared):
    assert_shared(variant, hop_length, num_windows=7, segment_length=length)


@pytest.mark.parametrize("strided", range(7))
@pytest.mark.parametrize("variant", ["test-basic", "test-res2"])
@pytest.mark.parametrize("length", [1458, 1600])
def test_padded_partial_frames(variant, strided, length, assert_shared):
    assert_shared(
        variant, 162, partial_frames="pad", num_strided_convolutions=strided, segment_length=length, num_windows=5
    )


@pytest.mark.parametrize("kernel_size, stride", [(27, 3), (81, 9), (15, 5)])
@pytest.mark.parametrize("strided", [0, 1])
def test_long_filters(kernel_size, stride, strided, assert_shared):
    stem = {"stem_kernel_size": kernel_size, "stem_stride": stride, "num_strided_convolutions": strided}
    assert_shared("test-basic", 405, segment_length=4050, num_windows=5, **stem)


def test_multi_level(assert_shared):
    assert_shared("test-basic", 81, num_blocks=6, multi_level=True, segment_length=4374)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.bfloat16, 0.05)])
def test_dtypes(dtype, tolerance, assert_shared):
    assert_shared("test-basic", 162, dtype=dtype, tolerance=tolerance)
    assert_shared("test-se", 162, dtype=dtype, tolerance=tolerance)


@pytest.mark.parametrize("variant", ["test-basic", "test-se", "test-res1", "test-res2", "test-rese1"])
def test_optimized_networks(variant, assert_shared):
    assert_shared(variant, 162, optimized=True)


def test_deep_levels_for_coarse_hops():
    config = create_config("basic-9")
    assert choose_level(config, 59049, 19683).depth == 4  # blocks 1 to 4 have most of the work
    assert choose_level(config, 59049, 9 * 2000).depth == 1
    assert choose_level(create_config("se-9"), 59049, 19683).depth == 1


def test_nothing_is_shared_where_that_saves_nothing():
    config = create_config("basic-9")
    assert choose_level(config, 59049, 59049) is None  # no overlap
    assert choose_level(config, 59049, 20000) is None  # not a multiple of 3
    assert choose_level(create_config("basic-8", partial_frames="pad"), 22051, 7290) is None  # frames are shifted
    assert choose_level(create_config("rese2-9"), 59049, 19683) is None


def test_sharing_saves_work(make_model):
    """The samples that go through the front end, of ten windows at a third of the hop."""
    model, count = make_model("test-basic", SampleCNNModel, segment_length=59049), []
    model.front_end.register_forward_hook(lambda module, args, output: count.append(args[0].numel()))
    windows = torch.zeros(59049 + 9 * 19683).unfold(0, 59049, 19683)
    with torch.no_grad():
        OverlappingWindows(model, SampleCNNFeatureExtractor(hop_length=19683)).embed(windows)
    assert sum(count) < 0.5 * windows.numel()


def test_logits_of_timelines_in_a_batch(make_model):
    """Two clips with timelines, padding and a window that is not part of the timeline, and one without a timeline."""
    model = make_model("test-se", num_labels=4)
    input_values = torch.randn(3, 8, 1458, generator=torch.Generator().manual_seed(0))
    in_timeline, mask = torch.zeros(2, 3, 8, dtype=torch.bool)
    for i, count in enumerate((7, 4)):
        samples = torch.randn(1458 + (count - 1) * 162, generator=torch.Generator().manual_seed(i))
        input_values[i, :count], in_timeline[i, :count] = samples.unfold(0, 1458, 162), True
    mask[0], mask[1, :4], mask[2, :2] = True, True, True
    with torch.no_grad():
        expected = model(input_values, attention_mask=mask).segment_logits
        timeline = SampleCNNFeatureExtractor(segment_length=1458, hop_length=162)
        found = timeline_logits(model, timeline, input_values, mask, in_timeline)
    assert torch.allclose(found, expected, atol=1e-5)
