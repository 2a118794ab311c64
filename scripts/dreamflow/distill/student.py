"""Load a student from a Hugging Face folder, or from a GGUF file that is converted to safetensors once.

Nothing is downloaded.
"""

import contextlib
import io
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the libraries below are loaded
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..errors import ConfigError
from ..files import canonical, sha256
from ..generation.model_files import fingerprint, model_file, weights_folder
from .encode import end_of_turn

# Warnings between these libraries: a reader of a log can do nothing about them.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft)\.")

_FORMAT = "1"  # of converted students; raise it after a change of the conversion

# Two tokenizers that split this text the same way split all text the same way: digits, other numerals, spaces,
# contractions, scripts, punctuation.
_SPLIT_TEST = (
    "Hello  there, 12345 friends.\n\n\n  It'S 1,234.56 or ½ ² ١٢٣ -- don't, DON'T, we'll!\t\tx=1;\r\n "
    "naïve “quotes” 日本語 😀 def f(x):\n    return x**2\n\u00a0end   "
)


def processors(limit: int) -> int:
    """Return the number of processors of this process, at most `limit`."""
    return min(limit, len(os.sched_getaffinity(0)))


def load_student(source: str, cache: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a causal language model and its tokenizer: on CUDA in bfloat16 if available, else on the CPU in float32.

    `source` is a Hugging Face folder, a GGUF file, or `package:<package>/<file>` (a GGUF file in a Python package). A
    GGUF file is dequantised once, in `cache`. The model is in evaluation mode, and the tokenizer has a padding token.
    Raises a `ConfigError` for an invalid model, and for one without a usable chat template.
    """
    folder = _folder(source, Path(cache))
    device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    try:
        model, tokenizer = _read(folder, dtype)
    except Exception as error:  # an invalid file can cause any error
        raise ConfigError(f"student {source}: not a model that transformers can read ({brief(error)})") from None
    _check_tokenizer(source, tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # harmless: padding is masked by position, not by token
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.to(device).eval(), tokenizer


def _read(folder: Path, dtype: torch.dtype, **options: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **options)
        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype, **options), tokenizer


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a digest of a tokenizer's vocabulary: all tokens and their ids."""
    return sha256(canonical(tokenizer.get_vocab()))


def _folder(source: str, cache: Path) -> Path:
    """Return the Hugging Face folder of a student; a GGUF file is converted."""
    folder = weights_folder(source)
    if folder is None:
        return _converted(source, model_file(source), cache)
    if not (folder / "config.json").is_file():
        raise ConfigError(f"student {source}: not a Hugging Face folder (it has no config.json)")
    return folder


def _converted(source: str, path: Path, cache: Path) -> Path:
    """Return the folder in `cache` with the weights and the tokenizer of a GGUF file, complete or absent."""
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise ConfigError(f"student {source}: not a GGUF file or a Hugging Face folder")
    folder = cache / f"{fingerprint(path)}-{_FORMAT}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=cache, prefix=f".{folder.name}."))
    try:
        _convert(source, path, temporary)
        temporary.chmod(0o755)
        with contextlib.suppress(OSError):  # another process has written the same folder
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _convert(source: str, path: Path, folder: Path) -> None:
    """Write the dequantised weights (float32), the configuration and the tokenizer of a GGUF file."""
    try:
        model, tokenizer = _read(path.parent, torch.float32, gguf_file=path.name)
    except Exception as error:
        raise ConfigError(
            f"student {source}: transformers cannot read this GGUF ({brief(error)}); "
            "name the model's Hugging Face folder instead"
        ) from None
    _check_tokenizer(source, tokenizer)
    _split_as_llama_cpp(source, path, tokenizer)
    model.hf_quantizer = None  # the weights are dequantised, but transformers still marks them as quantised
    del model.config.quantization_config
    model.config._name_or_path = ""  # no path of this machine
    with _quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _split_as_llama_cpp(source: str, path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the tokenizer split text like llama.cpp. Raises a `ConfigError` if it does not.

    transformers reads a GGUF's vocabulary and merges, but not the expression that splits the text before them (SmolLM's
    splits off every numeral). Training on other tokens than in use makes a student worse.
    """
    from ..generation.providers.llama_cpp_library import llama_cpp, suppress_stdout_stderr

    with suppress_stdout_stderr(disable=False):
        llama = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    if llama.metadata.get("tokenizer.ggml.pre") == "smollm":
        backend = tokenizer.backend_tokenizer
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    expected = llama.tokenize(_SPLIT_TEST.encode(), add_bos=False, special=True)
    if tokenizer(_SPLIT_TEST, add_special_tokens=False).input_ids != expected:
        raise ConfigError(
            f"student {source}: transformers and llama.cpp split text differently with this GGUF; "
            "name the model's Hugging Face folder instead"
        )


def _check_tokenizer(source: str, tokenizer: PreTrainedTokenizerBase) -> None:
    if not tokenizer.chat_template:
        raise ConfigError(f"student {source}: it has no chat template; use an instruct model")
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"student {source}: its tokenizer has no end-of-sequence token (eos_token)")
    try:
        end_of_turn(tokenizer)
    except ConfigError as error:
        raise ConfigError(f"student {source}: {error}") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress progress bars and warnings."""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers.logging.set_verbosity(level)


def brief(error: BaseException) -> str:
    """Return the type and the first line of an error."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
