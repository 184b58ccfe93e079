"""Compiled and exported networks answer as they do in eager mode, with and without padding."""

import pytest
import torch
from transformers.exporters import DynamoConfig, DynamoExporter, OnnxConfig, OnnxExporter

MEL = {"front_end": "mel", "stem_kernel_size": 243, "stem_stride": 81, "num_blocks": 2, "segment_length": 1458}
NETWORKS = {
    "se": ("test-se", {}),
    "multi-label": ("test-basic", {"problem_type": "multi_label_classification"}),
    "rese2-multi": ("test-rese2", {"multi_level": True}),
    "strided0": ("test-basic", {"num_strided_convolutions": 0}),
    "mel": ("test-se", MEL),
}
MASKS = [None, [[1, 1, 1], [1, 1, 1]], [[1, 0, 0], [1, 1, 0]], [[0, 1, 0], [1, 0, 1]]]
FREE = {0: torch.export.Dim("batch"), 1: torch.export.Dim("segments")}


@pytest.fixture(autouse=True)
def no_graphs_of_other_tests():
    torch.compiler.reset()


@pytest.fixture(params=NETWORKS)
def model(make_model, request):
    variant, overrides = NETWORKS[request.param]
    return make_model(variant, num_labels=4, **overrides)


def inputs(mask=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = {"input_values": 0.5 * torch.randn(2, 3, 1458, generator=generator)}
    if mask is not None:
        inputs["attention_mask"] = torch.tensor(mask)
        inputs["input_values"][inputs["attention_mask"] == 0] = 1e6  # what is in the padding does not matter
    return inputs


def assert_same(outputs, expected):
    assert outputs.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(outputs[name], expected[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mask", [MASKS[0], MASKS[3]])
def test_compiled_in_one_graph(model, mask):
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert_same(
            compiled(**inputs(mask), output_hidden_states=True, output_excitations=True),
            model(**inputs(mask), output_hidden_states=True, output_excitations=True),
        )
        body = torch.compile(model.samplecnn, fullgraph=True, backend="aot_eager")
        assert_same(body(**inputs(mask)), model.samplecnn(**inputs(mask)))


@pytest.mark.parametrize("mask", [MASKS[0], MASKS[3]])
def test_compiled_training_step(make_model, mask):
    gradients = []
    for options in ({"disable": True}, {"fullgraph": mask is None, "backend": "aot_eager"}):
        torch.manual_seed(0)
        model = make_model("test-se", num_labels=4, dropout=0.0).train()
        torch.compile(model, **options)(**inputs(mask), labels=torch.tensor([0, 3])).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert_same(gradients[1], gradients[0])


def test_exported_with_free_sizes(model):
    shapes = {"input_values": FREE, "attention_mask": FREE}
    exported = torch.export.export(model, (), inputs(MASKS[2]), dynamic_shapes=shapes).module()
    for mask in MASKS[1:]:
        with torch.no_grad():
            assert_same(exported(**inputs(mask, seed=1)), model(**inputs(mask, seed=1)))
    longer = {"input_values": torch.randn(3, 5, 1458), "attention_mask": torch.ones(3, 5, dtype=torch.long)}
    with torch.no_grad():
        assert_same(exported(**longer), model(**longer))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("mask", [MASKS[0], MASKS[2]])
def test_exporters_of_transformers(model, mask, dynamic):
    shapes = {name: FREE for name in inputs(mask)} if dynamic else None
    exported = DynamoExporter().export(model, inputs(mask), DynamoConfig(dynamic=dynamic, dynamic_shapes=shapes))
    with torch.no_grad():
        assert_same(exported(**inputs(mask, seed=1)), model(**inputs(mask, seed=1)))


@pytest.mark.slow
@pytest.mark.parametrize("mask", [MASKS[0], MASKS[2]])
def test_onnx_exporter_of_transformers(model, mask):
    pytest.importorskip("onnxruntime")
    shapes = {name: FREE for name in inputs(mask)}
    exported = OnnxExporter().export(model, inputs(mask), OnnxConfig(dynamic=True, dynamic_shapes=shapes))
    with torch.no_grad():
        expected = model(**inputs(mask, seed=1))
    outputs = exported(**inputs(mask, seed=1))
    for name in ("logits", "segment_logits"):
        torch.testing.assert_close(torch.as_tensor(outputs[name]), expected[name], atol=1e-4, rtol=1e-4)
