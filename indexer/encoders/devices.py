"""Which device a model runs on: one answer for every encoder family, so that `--device` means the same everywhere."""

from __future__ import annotations

import torch

from indexer.errors import EncoderUnavailable


def pick_device(device: str = "auto") -> torch.device:
    """The torch device of that name; `auto` is CUDA where there is one, else Apple's MPS, else the CPU.

    Raises `EncoderUnavailable`, naming the devices that exist, if the one asked for does not.
    """
    existing = existing_devices()
    if device == "auto":
        return torch.device(existing[0])
    if device not in existing and device != "cuda":
        raise EncoderUnavailable(f"There is no device {device!r} here; choose auto, {', '.join(existing)}.")
    if device == "cuda" and existing[0] != "cuda:0":
        raise EncoderUnavailable(f"There is no CUDA device here; choose auto, {', '.join(existing)}.")
    return torch.device(device)


def existing_devices() -> list[str]:
    """The names of the devices of this machine, the fastest first; the CPU is always there and last."""
    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def pick_dtype(device: torch.device) -> torch.dtype:
    """The number format in which a model of a few million weights is fast and exact enough on a device.

    bfloat16 on CUDA and on CPUs that multiply it in hardware (AMX, AVX512-BF16: 2 to 7 times float32 here),
    float32 elsewhere.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and _cpu_multiplies_bfloat16():
        return torch.bfloat16
    return torch.float32


def _cpu_multiplies_bfloat16() -> bool:
    """Whether torch multiplies bfloat16 with instructions that this CPU has for it: without, it takes several times as
    long as float32.

    The processor may have them and torch be told not to use them (ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA), or be
    too old to say.
    """
    try:
        kernels = torch.backends.cpu.get_cpu_capability()
        onednn = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        told = torch.cpu.get_capabilities()
    except (AttributeError, RuntimeError):
        return False
    return bool(onednn and kernels not in ("DEFAULT", "AVX2") and (told.get("amx_bf16") or told.get("avx512_bf16")))
