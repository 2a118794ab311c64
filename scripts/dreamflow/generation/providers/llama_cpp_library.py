"""llama_cpp, imported with the settings that this project needs: every module takes it from here."""

import ctypes
import os
from pathlib import Path
from typing import Any

# How long waiting threads spin before they sleep. With the default, practically for ever, two processes that share the
# processors slow each other down tenfold. The variable is read when the library is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

import llama_cpp
from llama_cpp._internals import LlamaContext, LlamaModel, LlamaSampler
from llama_cpp._logger import set_verbose
from llama_cpp._utils import suppress_stdout_stderr
from llama_cpp.llama_chat_format import Jinja2ChatFormatter
from llama_cpp.llama_grammar import json_schema_to_gbnf

__all__ = [
    "Jinja2ChatFormatter",
    "LlamaContext",
    "LlamaModel",
    "LlamaSampler",
    "attach_lora",
    "json_schema_to_gbnf",
    "llama_cpp",
    "set_verbose",
    "suppress_stdout_stderr",
]


def attach_lora(model: Any, context: Any, lora: Path, base: Path | str) -> None:
    """Attach a LoRA adapter to the pointers of a model and its context. `base` is the model's file.

    Raises `ValueError` if the file is not an adapter of this model; `lora_path` of llama_cpp.Llama crashes the process
    for such a file, since it does not check for a null pointer. The model frees its adapters with itself.
    """
    adapter = llama_cpp.llama_adapter_lora_init(model, str(lora).encode())
    if not adapter:
        raise ValueError(f"{lora}: not a LoRA adapter of {base} that llama.cpp can load")
    adapters, scales = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter), (ctypes.c_float * 1)(1.0)
    if llama_cpp.llama_set_adapters_lora(context, adapters, 1, scales):
        raise ValueError(f"{lora}: llama.cpp could not apply it to {base}")
