"""Precision and threads for the available hardware."""

import ctypes
import platform
import sys

import torch

from training.data.prepared import num_cores
from training.errors import RecipeError


def resolve_precision(mixed_precision: str, device: torch.device) -> str:
    """`auto` -> `bf16` if the hardware supports it (emulated bf16 is slower than float32), else `fp16` or `no`."""
    if mixed_precision == "fp16" and device.type == "cpu":
        raise RecipeError("--mixed_precision fp16 needs a GPU; use bf16, no or auto")
    if mixed_precision != "auto":
        return mixed_precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    cpu = torch.cpu.get_capabilities()
    return "bf16" if cpu.get("avx512_bf16") or cpu.get("amx_bf16") else "no"


def prepare_cpu(num_processes: int, threads: int | None):
    """Use all cores (`accelerate launch` sets one thread per process), and keep freed memory for the next step."""
    torch.set_num_threads(threads or max(1, num_cores() // num_processes))
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        # By default glibc returns large blocks to the kernel; allocating them again, page by page, takes about a third
        # of a training step (benchmarks/training_step.py).
        m_trim_threshold, m_mmap_max = -1, -4
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, -1)


def describe_hardware(device: torch.device) -> str:
    """Such as "cuda, 8 threads, x86_64": the device, and the threads and architecture of the processor."""
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} thread{'s' if threads > 1 else ''}, {platform.machine()}"
