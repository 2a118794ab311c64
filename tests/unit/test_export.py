"""Exports of an adapter do the same as the adapter: tiny models, whose GGUF is written here, in torch and llama.cpp."""

import json
import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import yaml
from dreamflow.distill import export, lora_gguf
from dreamflow.distill.equality import check_equality, difference
from dreamflow.distill.export import export_student, model_card
from dreamflow.distill.lora_gguf import write_lora_gguf
from dreamflow.errors import ConfigError, DreamflowError
from dreamflow.generation.model import Message
from dreamflow.generation.models import Model, load_models, registration
from dreamflow.generation.providers import Request, llama_cpp_engine
from dreamflow.generation.settings import LocalModels
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

Q8_0 = gguf.GGMLQuantizationType.Q8_0
WORDS = ["<unk>", "<|im_start|>", "<|im_end|>", "user", "assistant", *(f"w{n}" for n in range(91))]
TEMPLATE = (
    "{% for message in messages %}<|im_start|> {{ message.role }} {{ message.content }} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)
SHAPE = {
    **{"vocab_size": len(WORDS), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": True},
    **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2},
}
SEQUENCES = [[(7 * i * i + 3 * n + 5) % len(WORDS) for i in range(40)] for n in range(4)]
TASKS = [{"prompt": f"w{n} w7 w{n + 30} w2 w5 w9 w{n}", "answer": f"w{n + 2} w40"} for n in range(12)]


def tiny(kind: type) -> Any:
    """A model whose attention looks at places: with the usual small weights, their order would hardly matter."""
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(kind(**SHAPE)).float().eval()
    for name, parameter in model.named_parameters():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            parameter.data *= 12
    return model


def adapter_in(folder: Path, kind: type, **settings: Any) -> Path:
    """An adapter of the tiny model with random weights, as peft saves it."""
    torch.manual_seed(6)
    asked = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "init_lora_weights": False, **settings}
    model = get_peft_model(tiny(kind), LoraConfig(**asked))
    model.save_pretrained(folder)
    return folder


def write_gguf(model: Any, path: Path, *, quantised: bool = False) -> Path:
    """The model as llama.cpp's converter would write it; rows of a Llama's queries and keys are reordered."""
    config, kind = model.config, model.config.model_type
    writer = gguf.GGUFWriter(path, kind)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(WORDS)
    writer.add_token_types([3 if word.startswith("<") else 1 for word in WORDS])
    writer.add_token_merges(["w 1"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, kind.upper()), config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        values = tensor.numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
        if kind == "llama" and heads:
            rows = [range(start, start + len(values) // heads) for start in range(0, len(values), len(values) // heads)]
            half = len(values) // heads // 2
            values = values[[row[i // 2 + half * (i % 2)] for row in rows for i in range(len(row))]]
        stem, suffix = name.rsplit(".", 1)
        if quantised and values.ndim > 1:
            kept = gguf.quants.quantize(values, Q8_0)
            writer.add_tensor(f"{names.get_name(stem)}.{suffix}", kept, raw_dtype=Q8_0)
        else:
            writer.add_tensor(f"{names.get_name(stem)}.{suffix}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def compared(folder: Path, kind: type, *, quantised: bool = False, **settings: Any) -> dict[str, Any]:
    adapter = adapter_in(folder / "adapter", kind, **settings)
    student = tiny(kind)
    if quantised:  # as a student that was read from its quantised file
        for parameter in student.parameters():
            if parameter.ndim > 1:
                kept = gguf.quants.quantize(parameter.numpy(force=True), Q8_0)
                parameter.data = torch.from_numpy(gguf.quants.dequantize(kept, Q8_0))
    base = write_gguf(student, folder / "base.gguf", quantised=quantised)
    write_lora_gguf(adapter, student.config.to_dict(), folder / "lora.gguf", name="tiny", base=base)
    model = PeftModel.from_pretrained(student, str(adapter)).eval()
    return check_equality(model, SEQUENCES, base, folder / "lora.gguf", scratch=folder, threads=1)


@pytest.mark.parametrize("kind", [LlamaConfig, Qwen2Config])
def test_the_adapter_does_the_same_merged_and_in_llama_cpp(tmp_path, kind):
    found = compared(tmp_path, kind)
    assert found["equal"]
    assert found["positions"] == 4 * 32
    assert found["effect"]["mean_kl"] > 0.01  # else there would be nothing to compare
    assert found["gguf"]["mean_kl"] < found["effect"]["mean_kl"] / 100
    assert found["gguf"]["same_top"] > 0.95
    assert found["merged"]["mean_kl"] < 1e-6


def test_rows_in_the_wrong_order_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(lora_gguf, "interleave", lambda rows, heads: rows)
    found = compared(tmp_path, LlamaConfig)
    assert not found["equal"]
    assert found["merged"]["equal"]
    assert not found["gguf"]["equal"]


def test_another_strength_of_the_adapter_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(lora_gguf, "_alpha", lambda adapter: 4.0)
    assert not compared(tmp_path, Qwen2Config)["equal"]


def test_a_quantised_model_is_measured_against_its_own_noise(tmp_path):
    found = compared(tmp_path, LlamaConfig, quantised=True)
    assert found["equal"]
    assert found["gguf"]["without_adapter"]["mean_kl"] > 0
    assert found["gguf_16_bit"] != found["gguf"]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["adapter"]  # the copy is gone


def test_the_alpha_of_rank_stabilised_lora_is_scaled_as_peft_does(tmp_path):
    assert compared(tmp_path, Qwen2Config, use_rslora=True)["equal"]
    written = gguf.GGUFReader(tmp_path / "lora.gguf").get_field("adapter.lora.alpha").contents()
    assert written == pytest.approx(8 * math.sqrt(4))


def test_the_same_adapter_gives_the_same_bytes(tmp_path):
    adapter, config = adapter_in(tmp_path / "adapter", LlamaConfig), LlamaConfig(**SHAPE).to_dict()
    for name in ("one.gguf", "two.gguf"):
        write_lora_gguf(adapter, config, tmp_path / name, name="tiny", base=None)
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "two.gguf").read_bytes()


def test_what_llama_cpp_cannot_apply_is_told(tmp_path):
    config = LlamaConfig(**SHAPE).to_dict()

    def refused(adapter: Path, config: dict[str, Any], base: Path | None = None) -> str:
        with pytest.raises(ConfigError) as error:
            write_lora_gguf(adapter, config, tmp_path / "lora.gguf", name="tiny", base=base)
        assert not (tmp_path / "lora.gguf").exists()
        return str(error.value)

    assert "use_dora" in refused(adapter_in(tmp_path / "dora", LlamaConfig, use_dora=True), config)
    plain = adapter_in(tmp_path / "plain", LlamaConfig)
    assert "type 'bloom'" in refused(plain, {**config, "model_type": "bloom"})
    other = write_gguf(tiny(Qwen2Config), tmp_path / "qwen2.gguf")
    assert "architecture is 'qwen2', but the student's is 'llama'" in refused(plain, config, other)
    (tmp_path / "torn.gguf").write_bytes(b"GGUF")
    assert "torn.gguf: not a readable GGUF" in refused(plain, config, tmp_path / "torn.gguf")
    tensors = load_file(plain / "adapter_model.safetensors")
    save_file(
        {**tensors, "base_model.model.score.lora_A.weight": np.zeros((4, 64), np.float32)},
        plain / "adapter_model.safetensors",
    )
    assert "score.lora_A.weight: llama.cpp's llama has no such tensor" in refused(plain, config)


def test_distributions_are_compared_in_nats():
    left = np.log(np.array([[0.5, 0.5], [0.9, 0.1]], np.float32))
    right = np.log(np.array([[0.5, 0.5], [0.1, 0.9]], np.float32))
    assert difference(left, left + 3) == {"same_top": 1.0, "mean_kl": pytest.approx(0, abs=1e-7), "largest": 3.0}
    found = difference(left, right)
    assert found["mean_kl"] == pytest.approx(0.8 * math.log(9) / 2, rel=1e-5)
    assert found["same_top"] == 0.5
    with pytest.raises(ConfigError, match=r"2 tokens and llama\.cpp 3"):
        difference(left, np.zeros((2, 3), np.float32))


# --- the folder -----------------------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    student = tiny(LlamaConfig)
    student.save_pretrained(tmp_path / "student")
    backend = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<unk>", chat_template=TEMPLATE
    )
    tokenizer.save_pretrained(tmp_path / "student")
    return {
        "student": str(tmp_path / "student"),
        "cache": str(tmp_path / "cache"),
        "gguf": str(write_gguf(student, tmp_path / "base.gguf")),
        "merged": True,
        "license": "apache-2.0",
        "model_id": "demo-c1",
    }


def exported(folder: Path, job: dict[str, Any], **card: Any) -> dict[str, Any]:
    adapter = adapter_in(folder / "adapter", LlamaConfig)
    return export_student(job, adapter, TASKS, card, folder / "export", threads=1, tell=lambda line: None)


def test_the_folder_holds_three_forms_that_load(tmp_path, job):
    found = exported(tmp_path, job, Gate={"deployed": True})
    folder = tmp_path / "export"
    assert json.loads((folder / "equality.json").read_text()) == found
    names = ["README.md", "adapter.gguf", "adapter_config.json", "adapter_model.safetensors", "equality.json", "merged"]
    assert sorted(path.name for path in folder.iterdir()) == names
    tokens = torch.tensor(SEQUENCES)
    adapted = PeftModel.from_pretrained(tiny(LlamaConfig), str(folder))(input_ids=tokens).logits
    merged = AutoModelForCausalLM.from_pretrained(folder / "merged")(input_ids=tokens).logits
    assert torch.allclose(adapted, merged, atol=1e-3)
    assert not torch.allclose(tiny(LlamaConfig)(input_ids=tokens).logits, merged, atol=1e-1)
    front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert (front["library_name"], front["license"], front["base_model"]) == ("peft", "apache-2.0", job["student"])
    exported(tmp_path, {**job, "merged": False})  # anew, over what is there
    assert not (folder / "merged").exists()
    assert not list(tmp_path.glob(".export*"))


def test_without_a_model_file_llama_cpp_is_left_out_and_that_is_said(tmp_path, job):
    found = exported(tmp_path, {**job, "gguf": None})
    assert found["gguf"] is None
    assert found["equal"]
    assert (tmp_path / "export/adapter.gguf").exists()
    assert "Not compared in llama.cpp" in (tmp_path / "export/README.md").read_text()


def test_an_export_that_does_something_else_is_not_left_there(tmp_path, job, monkeypatch):
    monkeypatch.setattr(lora_gguf, "interleave", lambda rows, heads: rows)
    with pytest.raises(DreamflowError, match="its exports differ from the adapter"):
        exported(tmp_path, job)
    assert not (tmp_path / "export").exists()
    assert not list(tmp_path.glob(".export*"))


def test_a_full_disk_leaves_nothing(tmp_path, job, monkeypatch):
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_lora_gguf", full)
    with pytest.raises(DreamflowError, match="the disk is full"):
        exported(tmp_path, job)
    assert not (tmp_path / "export").exists()


def test_the_card_tells_facts_of_any_shape():
    card = {
        "Results": {"held_out": {"overall": {"n": 150, "before": 0.21, "after": 0.4}}, "seconds": 1.5},
        "Data": {"kinds": [{"kind": "facts", "n": 3}, {"kind": "code", "left": None}], "reasons": []},
    }
    equality = {"positions": 9, "merged": {"same_top": 1.0, "mean_kl": 0.0}, "gguf": None, "gguf_16_bit": None}
    text = model_card({"student": "s", "license": "mit", "model_id": "m"}, card, equality)
    for line in ("## Results", "### held_out", "| overall | 150 | 0.21 | 0.4 |", "- seconds: 1.5", "- reasons: none"):
        assert line in text.splitlines()
    assert "| kind | n | left |" in text
    assert "| facts | 3 |  |" in text


def test_a_registered_student_is_a_model_like_any_other(tmp_path):
    row = "{provider: llama_cpp, name: base.gguf, context_length: 4096}"
    (tmp_path / "models.yaml").write_text(f"models: {{person: {{provider: human}}, small: {row}}}\n")
    base = load_models(tmp_path / "models.yaml", None, {})["small"]
    student = base.model_copy(update={"model_id": "demo-c1", "lora": "export/adapter.gguf"})
    (tmp_path / "models").mkdir()
    student.own_price  # noqa: B018  (every run looks it up, and keeps it; it is no key of models.yaml)
    (tmp_path / "models/demo-c1.yaml").write_text(registration(student, student.lora))
    models = load_models(tmp_path / "models.yaml", tmp_path / "models", {})
    assert models.keys() == {"person", "small", "demo-c1"}
    assert models["demo-c1"] == student


def test_the_state_of_a_prefix_does_not_transfer_to_another_model(tmp_path: Path) -> None:
    """Models have states in folders of their own. Even in the right place, with the right tokens, the state of another
    model is refused by its shape, and the prefix is evaluated."""
    settings = LocalModels(prefix_folder=str(tmp_path / "states"), sequences=1).as_dict()
    files: dict[str, Path] = {}

    def ask(name: str, last: int) -> Any:
        prompt = "<|im_end|>" * 80 + "<|im_start|>" * last  # the tokens that the vocabulary has as text
        fields = {"provider": "llama_cpp", "name": str(tmp_path / name), "context_length": 256, "threads": 1}
        request = Request(Model(model_id=name, **fields, local_models=settings), [Message("user", prompt)], SAMPLING, 0)
        return llama_cpp_engine.complete(request)

    for layers in (2, 3):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**{**SHAPE, "num_hidden_layers": layers})).float().eval()
        write_gguf(model, tmp_path / f"{layers}")
        for last in (1, 2):
            ask(f"{layers}", last)
        (files[f"{layers}"],) = set((tmp_path / "states").glob("*/*.state")) - set(files.values())
    assert files["2"].name == files["3"].name and files["2"].parent != files["3"].parent
    llama_cpp_engine.models.clear()
    own = ask("3", 3)
    assert own.usage.cached_tokens == 64
    files["3"].write_bytes(files["2"].read_bytes())
    llama_cpp_engine.models.clear()
    refused = ask("3", 3)
    assert (refused.usage.cached_tokens, refused.text) == (0, own.text)


SAMPLING = {"temperature": 0.0, "max_tokens": 8}
