"""Whether it makes sense to call a model: circuits that open when further calls would fail too.

| failure                         | circuit  | what follows                                                        |
|---------------------------------|----------|---------------------------------------------------------------------|
| account (key, credit, no model) | model    | it opens at once                                                    |
| the question is refused (400)   | model    | it opens after 3 such answers without another answer between        |
| no connection, no answer        | endpoint | after 5 without an answer between, one call at a time probes, after |
|                                 |          | growing waits, and the others wait; after 5 failed probes it opens  |
| the server fails (5xx)          | model    | the same after 20 without an answer between                         |

While a circuit is open, every call fails with the error that opened it and what to do. Once a minute one call goes
ahead ("half-open"): its answer closes the circuit. Other models go on.
"""

import threading
import time
from dataclasses import dataclass, field
from math import inf
from urllib.parse import urlsplit

from .models import Model
from .providers import CallError, provider
from .waiting_line import WaitingLine

REQUEST_FAILURES = 3
CONNECTION_FAILURES = 5
SERVER_FAILURES = 20
PROBES = 5
FIRST_PROBE_WAIT_S = 1.0  # between two probes; then twice as long, and so on: 15 s in all, for a server that restarts
HALF_OPEN_S = 60.0
LEASE_S = 60.0  # besides the time that an answer may take, after which a probe that never ended is forgotten


@dataclass
class Circuit:
    """The circuit of a model or of an endpoint; `line.lock` guards it."""

    state: str = "closed"  # closed | probing | open
    failures: int = 0  # of one kind, in a row
    kind: str = ""  # of these failures
    probes: int = 0
    error: CallError | None = None
    probe_at: float = -inf
    prober: int | None = None  # the thread that probes
    prober_until: float = -inf
    line: WaitingLine = field(default_factory=WaitingLine)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has failed since the last answer."""
        return self.state == "closed" and not self.failures

    def open(self, error: CallError) -> None:
        self.state, self.error, self.prober = "open", error, None
        self.probe_at = time.monotonic() + HALF_OPEN_S

    def close(self) -> None:
        self.state, self.failures, self.probes, self.error, self.prober = "closed", 0, 0, None, None

    def count_from(self, kind: str) -> None:
        """Forget the failures in a row if they were of another kind."""
        if kind != self.kind:
            self.kind, self.failures = kind, 0
            if self.state == "probing":  # the server answers, whatever it says
                self.close()

    def takes_probe(self, longest_s: float) -> bool:
        """Whether this thread is the one that probes now."""
        now, thread = time.monotonic(), threading.get_ident()
        if self.prober is not None and self.prober != thread and now < self.prober_until:
            return False
        if self.prober != thread and now < self.probe_at:
            return False
        self.prober, self.prober_until = thread, now + longest_s + LEASE_S
        return True


class Circuits:
    """The circuits of all models of this process. Threads share it."""

    def __init__(self) -> None:
        self._models: dict[str, tuple[Circuit, Circuit]] = {}
        self._endpoints: dict[str, Circuit] = {}
        self._guard = threading.Lock()

    def check(self, model: Model) -> None:
        """Raise the `CallError` that opened a circuit of the model, unless a probe is due. It never waits."""
        for circuit in self._of(model):
            if circuit.state == "open":
                with circuit.line.lock:
                    if circuit.state == "open" and time.monotonic() < circuit.probe_at:
                        raise _repeated(circuit.error)

    def enter(self, model: Model) -> None:
        """Like `check`, for a call that is about to be made: one that may probe does, and others wait for its result.

        Afterwards `succeeded`, `failed` or `withdrawn` must be called. Raises also if the run is stopped.
        """
        for circuit in self._of(model):
            if circuit.state != "closed":
                try:
                    circuit.line.enter(lambda circuit=circuit: self._ready(model, circuit))
                except BaseException:
                    self.withdrawn(model)
                    raise

    def is_blocked(self, model: Model) -> bool:
        """Whether the calling thread has to `enter` again: a circuit is not closed, and the thread does not probe."""
        own, endpoint = self._of(model)
        if own.state == "closed" and endpoint.state == "closed":
            return False
        thread = threading.get_ident()
        return any(circuit.state != "closed" and circuit.prober != thread for circuit in (own, endpoint))

    def succeeded(self, model: Model) -> None:
        """The model has answered."""
        for circuit in self._of(model):
            if not circuit.is_quiet:
                with circuit.line.lock:
                    circuit.close()
                    circuit.line.look()

    def failed(self, model: Model, error: CallError) -> CallError:
        """A call has failed. Returns the error to raise: if it has opened the model's circuit, with what to do."""
        own, endpoint = self._of(model)
        if error.kind == "connection":
            with endpoint.line.lock:
                self._no_answer(model, endpoint, error, CONNECTION_FAILURES)
                endpoint.line.look()
        elif error.kind in ("account", "request", "busy", "server") and not endpoint.is_quiet:
            with endpoint.line.lock:  # whatever it said, the server is there
                endpoint.close()
                endpoint.line.look()
        if error.kind == "server":
            with own.line.lock:
                own.count_from(error.kind)
                self._no_answer(model, own, error, SERVER_FAILURES)
                own.line.look()
        elif error.kind in ("account", "request"):
            with own.line.lock:
                own.count_from(error.kind)
                own.failures += 1
                if own.state == "open" and own.prober != threading.get_ident():  # it began before the circuit opened
                    error = own.error
                elif error.kind == "account" or own.failures >= REQUEST_FAILURES or own.state == "open":
                    own.open(_with_remedy(model, error))
                    error = own.error
                own.line.look()
        self.withdrawn(model)
        return error

    def withdrawn(self, model: Model) -> None:
        """A call was not made, or said nothing about the circuit: another may probe."""
        thread = threading.get_ident()
        for circuit in self._of(model):
            if circuit.prober == thread:
                with circuit.line.lock:
                    circuit.prober = None
                    circuit.line.look()

    def _ready(self, model: Model, circuit: Circuit) -> float:
        if circuit.state == "closed" or circuit.takes_probe(model.timeout_s):
            return 0.0
        if circuit.state == "open":
            raise _repeated(circuit.error)
        return max(0.001, circuit.probe_at - time.monotonic()) if circuit.prober is None else inf

    def _no_answer(self, model: Model, circuit: Circuit, error: CallError, most: int) -> None:
        circuit.failures += 1
        is_probe = circuit.prober == threading.get_ident()
        if circuit.state == "closed" and circuit.failures >= most:
            circuit.state, circuit.probes, circuit.probe_at = "probing", 0, time.monotonic()
        elif circuit.state == "probing" and is_probe:
            circuit.probes += 1
            if circuit.probes >= PROBES:
                circuit.open(_with_remedy(model, error))
            else:
                circuit.probe_at = time.monotonic() + FIRST_PROBE_WAIT_S * 2 ** (circuit.probes - 1)
        elif circuit.state == "open" and is_probe:
            circuit.open(_with_remedy(model, error))

    def _of(self, model: Model) -> tuple[Circuit, Circuit]:
        circuits = self._models.get(model.model_id)
        if circuits is None:
            with self._guard:
                endpoint = self._endpoints.setdefault(_endpoint(model), Circuit())
                circuits = self._models.setdefault(model.model_id, (Circuit(), endpoint))
        return circuits


def _endpoint(model: Model) -> str:
    url = model.base_url or provider(model.provider).base_url
    return urlsplit(url).netloc.rpartition("@")[2].lower() if url else f"model {model.model_id}"


def _repeated(error: CallError) -> CallError:
    """The error that opened a circuit, for a call that is not made."""
    return CallError(str(error), kind=error.kind, status=error.status, cause=error.cause)


def _with_remedy(model: Model, error: CallError) -> CallError:
    """The error with what to do about it."""
    cause = f"{str(error).rstrip('.')}; {_remedy(model, error)}"
    return CallError(cause, kind=error.kind, status=error.status, cause=cause)


def _remedy(model: Model, error: CallError) -> str:
    text = str(error).lower()
    chosen = provider(model.provider)
    if error.kind == "connection":
        where = _endpoint(model)
        if model.base_url:
            return f"start the server at {where} or correct base_url of {model.model_id} in models.yaml, then run again"
        return f"check that {where} can be reached from here, then run again"
    if error.kind == "server":
        return f"the server of {model.model_id} failed at every call; run again when it works"
    if error.status and 300 <= error.status < 400:
        return "then run again"
    if error.kind == "request":
        return (
            f"the last {REQUEST_FAILURES} questions were refused; check the settings of {model.model_id} in models.yaml"
        )
    if error.status == 402 or any(word in text for word in ("quota", "credit", "billing", "balance")):
        return "add credit at the provider, then run again"
    if error.status == 404 or not chosen.sends:
        return f"check `name` of model {model.model_id} in models.yaml"
    key = model.api_key_env or chosen.default_key_env(model) or chosen.key_env
    if key:
        return f"set {key} to a valid key, then run again"
    return f"name the variable with the key as api_key_env of {model.model_id} in models.yaml, then run again"
