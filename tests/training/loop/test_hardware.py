import os

import pytest
import torch

from training.errors import RecipeError
from training.loop.hardware import describe_hardware, prepare_cpu, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx512_f": True}, "no"), ({}, "no")],
)
def test_auto_takes_bf16_where_the_processor_computes_it(monkeypatch, capabilities, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto", CPU) == precision


@pytest.mark.parametrize(("supported", "precision"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu(monkeypatch, supported, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert resolve_precision("auto", torch.device("cuda")) == precision


@pytest.mark.parametrize("precision", ["bf16", "no"])
def test_a_requested_precision_is_kept(precision):
    assert resolve_precision(precision, CPU) == precision


def test_fp16_needs_a_gpu():
    with pytest.raises(RecipeError, match="fp16 needs a GPU"):
        resolve_precision("fp16", CPU)


def test_cores_are_divided_among_processes(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    try:
        for num_processes, threads, expected in ((1, None, 8), (2, None, 4), (16, None, 1), (2, 3, 3)):
            prepare_cpu(num_processes, threads)
            assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("threads", "text"), [(1, "cpu, 1 thread, "), (2, "cpu, 2 threads, ")])
def test_description_of_the_hardware(monkeypatch, threads, text):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert describe_hardware(CPU).startswith(text)
