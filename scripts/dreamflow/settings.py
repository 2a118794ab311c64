"""config/config.yaml as a whole, together with what the command line changes in it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, create_model

from .chunks.conversation import LEVELS
from .chunks.spec import Clusters, Notes, Reading, Upgrade
from .config import NO_REPEATS, Count, Name, NotNegative, Optional, Positive, Section, Whole, check_placed, place
from .distill.spec import Salience
from .errors import ConfigError, Key
from .families import FAMILIES
from .files import read_text
from .generation.settings import Cap, LocalModels
from .trust.spec import Trust
from .yaml_file import parse_document

CONFIG = Path("config/config.yaml")
COMMAND_LINE = "command line (--config or --configfile)"
_UPGRADE = re.compile(r"upgrade[._](\w+)")
_BUDGET = re.compile(r"budget[._](usd|tokens)")
_OURS = re.compile(f"{_UPGRADE.pattern}|{_BUDGET.pattern}")
_ABSENT = object()


_Specs = create_model(
    "_Specs",
    __base__=Section,
    **{
        family.config_key: (list[Name], Field(default_factory=list, description=family.description))
        for family in FAMILIES
        if family.config_key
    },
)


_Budgets = create_model(
    "_Budgets",
    __base__=Section,
    **{
        family.config_key: (
            dict[Name, Cap],
            Field(
                default_factory=dict,
                description=f"Of single specs in `config/{family.config_key}/`, by name, for all time.",
            ),
        )
        for family in FAMILIES
        if family.config_key
    },
)


class Budgets(_Budgets):
    """Caps in US dollars or tokens, for all processes and nodes that share the data folder."""

    run: Optional[Cap] = Field(
        None,
        description="Of one run; `--config budget_usd=5` and `budget_tokens=100000` set it on the command line.",
    )
    day: Optional[Cap] = Field(None, description="Of a day (UTC).")
    month: Optional[Cap] = Field(None, description="Of a calendar month (UTC).")
    tiers: dict[Literal[LEVELS], Cap] = Field(
        default_factory=dict, description="Of quality levels of chunks, for all time: `basic`, `good`, `premium`."
    )

    def by_family(self) -> dict[str, dict[str, Cap]]:
        """The budgets of single specs, by the family's key in config.yaml."""
        keys = [family.config_key for family in FAMILIES if family.config_key]
        return {key: getattr(self, key) for key in keys}


class ShardSettings(Section):
    """How many generations a job makes."""

    above: Whole = Field(
        300, description="Up to so many planned generations have a job each; above it, a job makes a shard of them."
    )
    size: Count = Field(400, description="Most generations of a shard.")


class NightSettings(Section):
    """What one `snakemake night` may take. A limit ends the night in order, with its journal."""

    minutes: Optional[Positive] = Field(None, description="Minutes from its start to its end. Default: no limit.")
    usd: Optional[NotNegative] = Field(None, description="US dollars of all its calls. Default: no limit.")
    tokens: Optional[Whole] = Field(None, description="Tokens of prompts and answers. Default: no limit.")
    atp: Optional[NotNegative] = Field(
        None, description="ATP of all its calls; in the state `crisis` this limit does not hold. Default: no limit."
    )
    probes: Whole = Field(24, description="Most probe tasks that it asks where there is little evidence.")


class Settings(_Specs):
    """What to run (config/config.yaml)."""

    salience: Salience = Field(default_factory=Salience, description="Weights of the signals of salience.")
    trust: Trust = Field(default_factory=Trust, description="How models earn trust, and how `model: auto` uses it.")
    night: NightSettings = Field(default_factory=NightSettings, description="Limits of `snakemake night`.")
    reading: Reading = Field(
        default_factory=Reading,
        description="How much of calls of tools and of reasoning is read from conversations; a change reads all again.",
    )
    upgrade: Upgrade = Field(
        default_factory=Upgrade, description="Which chunks `snakemake upgrade` re-chunks with a better model."
    )
    clusters: Clusters = Field(default_factory=Clusters, description="How `snakemake clusters` groups chunks.")
    notes: Notes = Field(
        default_factory=Notes, description="What `snakemake notes` writes down of each cluster, with chunk ids."
    )
    budgets: Budgets = Field(
        default_factory=Budgets,
        description="What calls may cost. A call that could exceed a budget is not made; everything else goes on.",
    )
    models: str = Field("config/models.yaml", description="The file that lists the models.")
    raw_root: str = Field(
        "data/1_raw",
        description="The folder of versioned inputs (below); a folder of the original DayDreaming pipeline works too.",
    )
    data_root: str = Field("data", description="The folder for everything that is made.")
    results_top_n: Count = Field(5, description="Number of essays in `data/results/<cohort>/`.")
    call_attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        5, description="Attempts at one call if the connection or the server fails; 1 is no retry."
    )
    batch: Annotated[list[Name], NO_REPEATS] = Field(
        default_factory=list,
        description="Stages, such as `draft`, whose `openai` and `anthropic` models answer in batches, for half the "
        "price and within a day, as models with `service: batch` do in every stage.",
    )
    shards: ShardSettings = Field(
        default_factory=ShardSettings, description="How many generations a job makes (docs/shards.md)."
    )
    pack: Whole = Field(
        0,
        description="Generations of a `llama_cpp` model that one cluster job makes with the model loaded once; 0 "
        "makes them in the main process (see `profiles/slurm`).",
    )
    telemetry: bool = Field(
        False,
        description="Send a span of each call to an OpenTelemetry collector, without texts (docs/monitoring.md); needs "
        "`pip install -r envs/telemetry.txt`.",
    )
    local_models: LocalModels = Field(
        default_factory=LocalModels, description="Limits of models that run in this process."
    )


def load_settings(given: Mapping[str, Any] | None = None, path: Path = CONFIG) -> Settings:
    """The settings in config.yaml, or `given`: the same after Snakemake has merged the command line into it.

    A mistake is reported with file and line if the file contains it, else as given on the command line.
    """
    text = read_text(path) if path.exists() else ""
    written = _mapping(text, path)
    given = written if given is None else {key: _typed(value, written.get(key)) for key, value in given.items()}
    nested = nest_keys(given)
    return check_placed(nested, Settings, lambda key: _origin(key, nested, text, path), path)


def has_keys(path: Path = CONFIG) -> bool:
    """Whether config.yaml has anything in it. Raises a ConfigError if it is broken or missing."""
    if not path.exists():
        home = Path(__file__).resolve().parents[2]
        raise ConfigError(
            f"{path}: no such file, so {Path.cwd()} is not a project. Run this in a folder that has one, or begin one: "
            f"python {home}/scripts/new_project.py FOLDER"
        )
    return bool(_mapping(read_text(path), path))


def _mapping(text: str, path: Path) -> Mapping[str, Any]:
    """The content of config.yaml, which must be a mapping or blank."""
    value = parse_document(text, path)
    if value is not None and not isinstance(value, Mapping):
        message = "(top level): expected keys with values, such as 'cohorts: [demo]'"
        raise ConfigError(f"{place(path, text, ())}: {message}", placed=True)
    return value or {}


@contextmanager
def in_config(given: Mapping[str, Any], path: Path = CONFIG) -> Iterator[None]:
    """Add to a ConfigError that names only a key of `given` where its value comes from: config.yaml or command line."""
    try:
        yield
    except ConfigError as error:
        if error.placed or not error.key:
            raise
        text = read_text(path) if path.exists() else ""
        raise ConfigError(f"{_origin(error.key, nest_keys(given), text, path)}: {error}", placed=True) from None


def _origin(key: Key, given: Mapping[str, Any], text: str, path: Path) -> str:
    written = nest_keys(_mapping(text, path))
    changed = path.exists() and _value_at(given, key) != _value_at(written, key)
    return COMMAND_LINE if changed else place(path, text, key)


def _typed(given: Any, written: Any) -> Any:
    """`given` with numbers, truth values and null for texts in mappings that config.yaml does not have: Snakemake reads
    `--config 'budgets={day: {usd: 5}}'` as YAML whose values are all texts."""
    if not isinstance(given, Mapping):
        return given
    known = written if isinstance(written, Mapping) else {}
    return {key: _read(value, known.get(key)) for key, value in given.items()}


def _read(value: Any, written: Any) -> Any:
    if not isinstance(value, str) or value == written:
        return _typed(value, written)
    read = yaml.safe_load(value) if re.fullmatch(r"[\w.+-]+", value) else value
    return read if read is None or isinstance(read, bool | int | float) else value


def nest_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in which `upgrade_limit: 5` has become `upgrade: {limit: 5}`, and `budget_usd: 5` has become
    `budgets: {run: {usd: 5}}`.

    The command line can set top-level keys only: Snakemake's `--config` takes no dot in a name. It also strips quotes
    from the end of a value, so a filter that has lost its closing quote gets it back.
    """
    whole = {key: value for key, value in config.items() if not _OURS.fullmatch(str(key))}
    upgrade = {match[1]: config[key] for key in config if (match := _UPGRADE.fullmatch(str(key)))}
    budget = {match[1]: config[key] for key in config if (match := _BUDGET.fullmatch(str(key)))}
    if isinstance(text := upgrade.get("filter"), str):
        opened = ""  # the quotation that is open at the end, if any
        for character in text:
            opened = "" if character == opened else character if not opened and character in "'\"" else opened
        upgrade["filter"] = text + opened
    whole = _merged(whole, ("upgrade",), upgrade)
    return _merged(whole, ("budgets", "run"), budget)


def _merged(whole: Mapping[str, Any], path: Sequence[str], more: Mapping[str, Any]) -> dict[str, Any]:
    """`whole` with the items of `more` in the mapping at `path`. Anything else there stays, for the check to refuse."""
    first, *rest = path
    inner = whole.get(first) or {}
    if not more or not isinstance(inner, Mapping):
        return dict(whole)
    return {**whole, first: _merged(inner, rest, more) if rest else {**inner, **more}}


def _value_at(value: Any, key: Key) -> Any:
    """The value at a key; for a key that is absent, a mark that equals itself only."""
    for part in key:
        is_there = (
            part in value if isinstance(value, Mapping) else isinstance(value, list) and part in range(len(value))
        )
        if not is_there:
            return _ABSENT
        value = value[part]
    return value
