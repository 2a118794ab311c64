"""`model: auto`: the routing table chooses the model of a generation, when the plan is compiled.

The row is then the same as if the spec had named the model. A choice is known by its *slot*, the id that the
generation would have if its model were called `auto`. Once it is written (`choices.py`), neither an edit nor a new
table changes it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from ..config import under
from ..errors import ConfigError, DreamflowError, Key
from ..files import read_json
from ..generation import hub
from ..generation.catalog import Catalog
from ..generation.model import Json, Message
from ..generation.model_files import model_file
from ..generation.models import Model, check_sampling, find_model
from ..generation.providers import provider
from ..generation.questions import check_question, find_fallbacks, question_fields, slot_fields
from ..generation.render import render, resolve
from ..generation.settings import AUTO, AutoModel, ModelCall
from .atp import count_words, words_of
from .choices import Choice, ChoiceFile
from .choose import Decision, Expected, Option, decide
from .contexts import NamedContexts, compile_named, context_of
from .prompts import FILE as PROMPTS
from .prompts import PromptTrust, read_prompts
from .similarity import TfidfContexts
from .table import Table, read_table

if TYPE_CHECKING:
    from ..trust.spec import Trust

Ids = Callable[[str, Mapping[str, Json]], str]  # (model, fields of the row) -> id of the generation
Chances = tuple[tuple[str, float, float], ...]  # (model, alpha, beta)
_TOKENS_PER_WORD = 1.3  # of English prose; a prompt that has more does not fit
_NEVER_CHOSEN = ("human", "replay")  # providers whose models must be named in `of`


def candidates(auto: AutoModel, models: Mapping[str, Model], sampling: Mapping[str, Json]) -> list[Option]:
    """The models among which a section of a spec lets trust choose. Raises a `ConfigError` if one is unknown or does
    not take the sampling parameters, or if there is none."""
    named = []
    for place, name in enumerate(auto.of or ()):
        with under("auto", "of", place):
            named.append(find_model(models, name))
        check_sampling(named[-1], sampling)
    why_not: dict[str, str] = {}
    options = []
    for model in named or models.values():
        problem = "" if named else _unusable(model, sampling)
        if auto.layer is not None and model.known_layer != auto.layer:
            problem = f"its layer is {model.known_layer}"
        if problem:
            why_not[model.model_id] = problem
        else:
            words = words_of(model.example_turns)
            most = model.context_length / _TOKENS_PER_WORD
            options.append(Option(model.model_id, model.known_layer, model.atp, words, most))
    if not options:
        listed = "; ".join(f"{name}: {problem}" for name, problem in why_not.items())
        raise ConfigError(f"no model can be chosen ({listed or 'models.yaml has none'})", ("auto",))
    return options


def _unusable(model: Model, sampling: Mapping[str, Json]) -> str:
    """Why a model that the spec does not name cannot be chosen; "" if it can."""
    chosen = provider(model.provider)
    if model.provider in _NEVER_CHOSEN:
        return f"a {model.provider} model must be named in 'of'"
    if name := chosen.missing_key(model):
        return f"the environment variable {name} is not set"
    try:
        for name in (model.source, model.lora or ""):
            if name and hub.is_missing(name):
                return f"{name} is not downloaded"
            if name:
                model_file(name)
        check_sampling(model, sampling)
    except ConfigError as error:
        return error.message
    return ""


def _is_allowed(model: Model | None, auto: AutoModel) -> bool:
    """Whether a model that was chosen before still exists, and a spec allows it."""
    if model is None or (auto.of is not None and model.model_id not in auto.of):
        return False
    return auto.layer is None or model.known_layer == auto.layer


def known_prompt(template: str, variables: Mapping[str, Json], texts: Mapping[str, str]) -> str:
    """A prompt as far as it is known before its parents are: their texts are left out; the template's text if it cannot
    be rendered without them."""
    try:
        return render(template, resolve(variables, texts, lambda parent: ""), "")
    except (ConfigError, LookupError):
        return template


class Router:
    """Chooses the models of a plan, for `trust` of config.yaml, the data folder and the models of models.yaml.

    Nothing is read before the first choice. `made` has the choice of each generation that this plan has chosen a model
    for, by gen_id; `save` writes those that are new.
    """

    def __init__(self, trust: "Trust", root: Path, models: Mapping[str, Model]) -> None:
        self.trust, self.root, self.models = trust, root, models
        self.file = ChoiceFile(root / "trust" / "choices.jsonl")
        self.made: dict[str, Choice] = {}
        self._new: dict[str, tuple[Choice, Mapping[str, Expected], str]] = {}  # by slot and model; with its generation
        self._saving = Lock()
        self._decide = lru_cache(maxsize=4096)(self._decision)
        self._context = lru_cache(maxsize=1024)(self._classify)
        self._words = lru_cache(maxsize=1024)(count_words)

    @cached_property
    def table(self) -> Table | None:
        """The routing table of the last cycle. Raises a `DreamflowError` if it is damaged."""
        cycle = self.trust.cycle
        return read_table(self.root, cycle if isinstance(cycle, int) else None)

    @cached_property
    def _choices(self) -> dict[str, list[Choice]]:
        """The choices of this round by slot, in the order in which they were made."""
        choices: dict[str, list[Choice]] = {}
        self._keep(choices, self.file.read())
        return choices

    def _keep(self, choices: dict[str, list[Choice]], more: Iterable[Choice]) -> None:
        for choice in more:
            if choice.round == self.trust.round:
                choices.setdefault(choice.slot, []).append(choice)

    def choose(
        self,
        slot: str,
        auto: AutoModel,
        options: tuple[Option, ...],
        text: str,
        kind: str,
        row: Mapping[str, Json],
        turn_words: int = 0,
        *,
        models: Mapping[str, Model] | None = None,
    ) -> Choice:
        """The model of a slot: as it was chosen before if the spec still allows it, else by the routing table.

        `text` is the prompt as far as it is known, `kind` that of the prompt, `row` its coordinates, `turn_words` what
        is sent before it; `models` are those that the section can name (default: all).
        """
        for choice in self._choices.get(slot, ()):  # the first, so that no other spec can change it
            if _is_allowed((models or self.models).get(choice.model_id), auto):
                return choice
        # An answer is of the kind of its task; the rows of variants and verdicts name their operator so.
        kind = str(row.get("kind", kind)) if kind == "answer" else kind
        context, reason = self.context_of(text, {**row, "kind": kind})
        words = self._words(text) + turn_words
        decision = self._decide(
            context, words, options, auto.budget_atp, auto.cascade, self._chances(text, context, options)
        )
        model_id = decision.pick(f"{slot}|{self.trust.round}")
        choice = Choice(
            slot=slot,
            round=self.trust.round,
            model_id=model_id,
            propensity=decision.expected[model_id].propensity,
            context=context,
            evidence=decision.evidence,
            cycle=decision.cycle,
            state=decision.state,
            why=f"{context}: {reason}; {decision.why[model_id]}",
            fallbacks=decision.order[1:] if auto.cascade else (),
        )
        self._choices.setdefault(slot, []).append(choice)
        self._new[f"{slot}|{model_id}"] = (choice, decision.expected, "")
        return choice

    def note(self, gen_id: str, choice: Choice) -> None:
        """Remember that this generation is the result of a choice."""
        self.made.setdefault(gen_id, choice)
        key = f"{choice.slot}|{choice.model_id}"
        if key in self._new and not self._new[key][2]:
            self._new[key] = (*self._new[key][:2], gen_id)

    def described(self, gen_id: str) -> dict[str, Json] | None:
        """Why trust chose the model of a generation, for its metadata; None if the spec names it."""
        choice = self.made.get(gen_id)
        return choice.described() if choice else None

    @property
    def has_new(self) -> bool:
        """Whether choices were made that are not written yet, or damaged lines were found."""
        return bool(self._new or self.file.problems)

    @cached_property
    def _similarity(self) -> TfidfContexts | None:
        """The groups of prompts that the last cycle found; None if it sorts by something else."""
        if "similarity" not in self.trust.contexts.by or self.table is None:
            return None
        path = self.root / "trust" / f"cycle-{self.table.cycle}" / "contexts.json"
        return TfidfContexts.from_dict(read_json(path)) if path.exists() else None

    @cached_property
    def _named(self) -> NamedContexts:
        with under("trust", "contexts", "named"):
            return compile_named(self.trust.contexts.named)

    def context_of(self, text: str, row: Mapping[str, Json]) -> tuple[str, str]:
        """The context of a prompt with these coordinates, and why."""
        by = self.trust.contexts.by
        return self._context(text, tuple(None if row.get(name) is None else str(row[name]) for name in by))

    def _classify(self, text: str, values: tuple[Json, ...]) -> tuple[str, str]:
        by = self.trust.contexts.by
        row = dict(zip(by, values, strict=True))
        return context_of(text, row, by=by, named=self._named, similarity=self._similarity)

    @cached_property
    def _prompts(self) -> dict[str, PromptTrust]:
        """What the last cycle found of prompts by class of evidence; nothing if it does not sort by similarity."""
        if "similarity" not in self.trust.contexts.by or self.table is None:
            return {}
        return read_prompts(self.root / "trust" / f"cycle-{self.table.cycle}" / PROMPTS)

    def _chances(self, text: str, context: str, options: tuple[Option, ...]) -> Chances:
        """(model, alpha, beta) of the models that are known by prompt."""
        if not self._prompts:
            return ()
        evidence = self.table.evidence_for([option.model_id for option in options], context)
        known = self._prompts.get(evidence)
        return tuple((name, *pair) for name, pair in known.chances(text, context).items()) if known else ()

    def _decision(
        self,
        context: str,
        words: int,
        options: tuple[Option, ...],
        budget_atp: float | None,
        cascade: bool,
        chances: Chances,
    ) -> Decision:
        by_model = {model_id: (alpha, beta) for model_id, alpha, beta in chances}
        return decide(self.table, context, words, options, budget_atp=budget_atp, cascade=cascade, chances=by_model)

    def save(self, is_wanted: Callable[[str], bool]) -> list[str]:
        """Write the new choices of the generations that are wanted; returns messages about damaged lines.

        Raises a `DreamflowError` if another process has chosen another model for one of them since this plan was made.
        """
        with self._saving:  # file locks do not hold threads apart
            return self._save(is_wanted)

    def _save(self, is_wanted: Callable[[str], bool]) -> list[str]:
        due = {key: new for key, new in list(self._new.items()) if new[2] and is_wanted(new[2])}
        if due:
            try:
                others = self.file.add([(choice, expected) for choice, expected, _ in due.values()])
            except OSError as error:
                raise DreamflowError(f"{self.file.path}: {error.strerror}. Make it writable, and run again") from None
            mine = {choice.slot: choice.model_id for choice, _, _ in due.values()}
            differ = sum(
                mine.get(choice.slot, choice.model_id) != choice.model_id
                for choice in others
                if choice.round == self.trust.round
            )
            if differ:
                raise DreamflowError(
                    f"{differ:,} models were chosen by another run while this one was being planned. Nothing was done. "
                    "Run again: it uses what was chosen"
                )
            for key in due:
                del self._new[key]
        problems, self.file.problems = self.file.problems, []
        return problems


class Asked:
    """The questions of one kind that one section of a spec asks, of the model that it names or that trust chooses."""

    def __init__(
        self,
        kind: str,
        call: ModelCall,
        catalog: Catalog,
        models: Mapping[str, Model],
        router: Router,
        place: Key = (),
    ) -> None:
        """`place` is the key of the section, for messages."""
        self.kind, self.call, self.catalog, self.models, self.router, self.place = (
            *(kind, call, catalog, models, router, place),
        )
        self._fields: dict[tuple[str, ...], dict[str, Json]] = {}

    def check(self) -> None:
        """Raise a `ConfigError` for what is wrong with the call; no model file of a named model is read."""
        if self.call.model == AUTO:
            self._options  # noqa: B018  (it checks them)
            self.slot_fields  # noqa: B018
        else:
            with under(*self.place):
                check_question(self.kind, self.call, self.catalog, self.models)

    @cached_property
    def _options(self) -> tuple[Option, ...]:
        with under(*self.place):
            find_fallbacks(self.call.fallback, self.models)
            return tuple(candidates(self._auto, self.models, self.call.sampling.as_dict()))

    @property
    def _auto(self) -> AutoModel:
        return self.call.auto or AutoModel()

    @cached_property
    def slot_fields(self) -> dict[str, Json]:
        """The fields of a row that the template decides; `sampling` has what the spec says."""
        with under(*self.place):
            return slot_fields(self.kind, self.call, self.catalog)

    @property
    def candidates(self) -> list[Model]:
        """The models one of which answers."""
        if self.call.model != AUTO:
            return [find_model(self.models, self.call.model)]
        return [self.models[option.model_id] for option in self._options]

    def row(
        self,
        ids: Ids,
        variables: Mapping[str, Json],
        row: Mapping[str, Json] | None = None,
        turns: Sequence[Message] = (),
    ) -> tuple[str, dict[str, Json]]:
        """The id of a generation and the fields that its model and template decide. `variables`, `turns` and the
        coordinates in `row` are those of the generation; `ids(model, fields)` is its id with a model of this name."""
        if self.call.model != AUTO:
            fields = self.fields()
            return ids(self.call.model, fields), fields
        choice = self.choose(ids(AUTO, self.slot_fields), variables, row or {}, turns)
        fields = self.fields(choice)
        gen_id = ids(choice.model_id, fields)
        self.router.note(gen_id, choice)
        return gen_id, fields

    def choose(
        self, slot: str, variables: Mapping[str, Json], row: Mapping[str, Json], turns: Sequence[Message] = ()
    ) -> Choice:
        """The model that trust chooses for a slot; `Router.note` has to get each generation that follows from it."""
        template = self.catalog.texts[self.slot_fields["template_sha256"]]
        text = known_prompt(template, variables, self.catalog.texts)
        words = words_of(turns)
        return self.router.choose(slot, self._auto, self._options, text, self.kind, row, words, models=self.models)

    def fields(self, choice: Choice | None = None) -> dict[str, Json]:
        """The fields of a row with the model that the spec names, or with a chosen one."""
        model_id, chain = (choice.model_id, choice.fallbacks) if choice else (self.call.model, ())
        key = (model_id, *chain)
        if key not in self._fields:
            call = self.call
            if call.model == AUTO:
                spares = with_chain(model_id, chain, call.fallback, self.models)
                call = call.model_copy(update={"model": model_id, "auto": None, "fallback": spares})
            with under(*self.place):
                fields = question_fields(self.kind, call, self.catalog, self.models)
            self._fields[key] = fields | agreement(self._auto, chain, call.attempts)
        return dict(self._fields[key])


def agreement(auto: AutoModel, chain: Sequence[str], attempts: int) -> dict[str, int]:
    """The fields of a row by which the samples of a cascade's models have to agree."""
    is_needed = chain and auto.agree > 1
    return {"agree": auto.agree, "max_attempts": max(attempts, auto.agree)} if is_needed else {}


def with_chain(chosen: str, chain: Sequence[str], fallback: Sequence[str], models: Mapping[str, Model]) -> list[str]:
    """The fallbacks of a chosen model: the others of its cascade that still exist, then those of the spec."""
    chain = [name for name in chain if name in models]
    return [*chain, *(name for name in fallback if name != chosen and name not in chain)]
