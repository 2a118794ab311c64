"""A student in memory: from a Hugging Face folder, or from a GGUF file that is read once and kept as safetensors.

Nothing is fetched: whatever a student needs lies in its folder or its file.
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

# Of these libraries about themselves, to whoever uses them together: nothing that a reader of a log can act on.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft)\.")

_FORM = "1"  # of what is kept: a change to how a GGUF is read must not meet what was read before

# What tells two ways of splitting text apart: digits, other numerals, spaces, contractions, scripts, punctuation.
_SPLITTING = (
    "Hello  there, 12345 friends.\n\n\n  It'S 1,234.56 or ½ ² ١٢٣ -- don't, DON'T, we'll!\t\tx=1;\r\n "
    "naïve “quotes” 日本語 😀 def f(x):\n    return x**2\n\u00a0end   "
)


def processors(most: int) -> int:
    """How many threads to compute with: as many as there are processors for this process, and at most `most`."""
    return min(most, len(os.sched_getaffinity(0)))


def load_student(source: str, cache: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The causal language model and its tokenizer: on CUDA in bfloat16 where there is CUDA, else on the CPU in float32.

    `source` is a Hugging Face folder, a GGUF file, or `package:<package>/<file>` (a GGUF that a package ships). A GGUF
    is dequantised once and kept under `cache`. The model is ready to answer (`eval`), the tokenizer has a padding
    token. Raises `ConfigError` for what is no model, or cannot be a student: without a chat template, or whose
    template does not end an answer with a token of its own.
    """
    folder = _folder(source, Path(cache))
    cuda = torch.cuda.is_available()
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, dtype=torch.bfloat16 if cuda else torch.float32
            )
    except Exception as error:  # a torn or foreign file breaks its readers in many ways
        raise ConfigError(f"student {source}: not a model that transformers can read ({_first_line(error)})") from None
    _check_tokenizer(source, tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # harmless: what is padding is known by place, never by token
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.to("cuda" if cuda else "cpu").eval(), tokenizer


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """What two tokenizers of the same vocabulary share, and no others: the digest of all tokens and their ids."""
    return sha256(canonical(tokenizer.get_vocab()))


def _folder(source: str, cache: Path) -> Path:
    """The Hugging Face folder of a student, made from its GGUF where it is one."""
    folder = weights_folder(source)
    if folder is None:
        return _kept(source, model_file(source), cache)
    if not (folder / "config.json").is_file():
        raise ConfigError(f"student {source}: not a Hugging Face folder (it has no config.json)")
    return folder


def _kept(source: str, path: Path, cache: Path) -> Path:
    """The folder under `cache` that holds a GGUF's weights and tokenizer; made beside it and renamed when whole."""
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise ConfigError(f"student {source}: not a GGUF file, nor a Hugging Face folder")
    folder = cache / f"{fingerprint(path)}-{_FORM}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=cache, prefix=f".{folder.name}."))
    try:
        _convert(source, path, made)
        made.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was faster: its folder is as good
            made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _convert(source: str, path: Path, folder: Path) -> None:
    """Write a GGUF's dequantised weights (float32), configuration and tokenizer as transformers does."""
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(
                path.parent, gguf_file=path.name, local_files_only=True, dtype=torch.float32
            )
    except Exception as error:
        raise ConfigError(
            f"student {source}: transformers cannot read this GGUF ({_first_line(error)}); "
            "name the model's Hugging Face folder instead"
        ) from None
    _check_tokenizer(source, tokenizer)
    _split_as_llama_cpp(source, path, tokenizer)
    model.hf_quantizer = None  # its weights are plain numbers now, but it believes that it is quantised
    del model.config.quantization_config
    model.config._name_or_path = ""  # no machine's paths in the folder
    with _quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _split_as_llama_cpp(source: str, path: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the tokenizer split text as llama.cpp does for this file, or say that it does not.

    transformers reads a GGUF's vocabulary and merges but not which expression splits the text before them: SmolLM's
    splits every numeral off first. A student that is trained on other tokens than it is asked with learns worse.
    """
    from ..generation.providers.llama_cpp_engine import llama_cpp, suppress_stdout_stderr

    with suppress_stdout_stderr(disable=False):
        other = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    if other.metadata.get("tokenizer.ggml.pre") == "smollm":
        backend = tokenizer.backend_tokenizer
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    expected = other.tokenize(_SPLITTING.encode(), add_bos=False, special=True)
    if tokenizer(_SPLITTING, add_special_tokens=False).input_ids != expected:
        raise ConfigError(
            f"student {source}: the tokenizer that transformers makes of this GGUF splits text differently than "
            "llama.cpp does; name the model's Hugging Face folder instead"
        )


def _check_tokenizer(source: str, tokenizer: PreTrainedTokenizerBase) -> None:
    if not tokenizer.chat_template:
        raise ConfigError(f"student {source}: it has no chat template; an instruct model is needed")
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"student {source}: its tokenizer has no end-of-sequence token (eos_token)")
    try:
        end_of_turn(tokenizer)
    except ConfigError as error:
        raise ConfigError(f"student {source}: {error}") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars and advice; errors are raised all the same."""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers.logging.set_verbosity(level)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
