"""What a server's error means: an unusable answer to this question, or no answer, and of which kind (`CallError`).

The servers' own words: OpenAI's "Error codes", Azure OpenAI's "Content filtering", Anthropic's "Errors", OpenRouter's
"Errors and Debugging", vLLM's and llama-server's answers to a long prompt.
"""

import re
from collections.abc import Mapping

from msgspec.structs import replace

from ..model import Json, Response, Usage
from .reading import unreadable

BUSY = {429, 529}
PASSING = {408, 409, 425}  # and every 5xx
ACCOUNT = {401, 402, 403, 404}
# A gateway or server that gave up waiting for the model, which may have answered (Azure bills such a 408).
MAY_BE_BILLED = {408, 504, 524}
NO_ACCOUNT = re.compile(
    "insufficient_quota|insufficient_user_quota|billing_hard_limit|billing_not_active|account_deactivated|"
    "invalid_api_key|model_not_found|credit balance is too low|insufficient (balance|credits|quota)|"
    "not a valid model|model .{1,100} does not exist"
)
CONTEXT = re.compile(
    "context_length_exceeded|exceed_context_size|maximum context length|context length exceeded|"
    "prompt is too long|exceeds? (the )?(available |maximum |model's )?context|too large for model with .{1,20} maximum"
)
REFUSED = re.compile(
    "content_filter|content_policy_violation|responsibleaipolicyviolation|data_inspection_failed|"
    "flagged as potentially violating|content exists risk"
)
DECLINING = {400, 403, 413, 422}  # statuses with which a server declines one question


def error_of(answer: Json) -> Json:
    """The error in a body: the field "error" of it or of its first choice, or else the body, where it has the form
    of an error; else None."""
    if isinstance(answer, list) and len(answer) == 1:  # Gemini
        answer = answer[0]
    if not isinstance(answer, dict):
        return None
    if answer.get("object") == "error" or "detail" in answer:
        return answer.get("error") or answer
    return answer.get("error") or _choice(answer).get("error")


def has_answer(answer: Json) -> bool:
    """Whether a body has an answer, a part of one, or the tokens of one, besides an error."""
    if not isinstance(answer, dict):
        return False
    choice = _choice(answer)
    message = choice.get("message")
    written = [choice.get("text"), message, answer.get("content"), answer.get("usage")]
    if isinstance(message, dict):
        written[1] = [message.get(name) for name in ("content", "reasoning", "reasoning_content") if message.get(name)]
    return any(written)


def message_of(error: Json) -> str:
    """The words of an error."""
    fields = error if isinstance(error, dict) else {}
    message = fields.get("message") or fields.get("detail") or error
    metadata = fields.get("metadata")
    if isinstance(metadata, dict) and metadata.get("raw"):  # the error of the provider behind OpenRouter
        message = f"{message}: {metadata['raw']}"
    return " ".join(str(message).split())


def status_of(error: Json, status: int) -> int:
    """The status of an error. OpenRouter sends errors with HTTP 200 after a model has begun; then the code counts."""
    code = error.get("code") if isinstance(error, dict) else None
    return int(code) if status < 400 and re.fullmatch("[1-5][0-9][0-9]", str(code)) else status


def declined(error: Json) -> str:
    """The `finish_reason` of a question that a server declines with this error: "refusal" or "context"; else "".

    The same question would be declined again, so this is an answer, although none that can be used.
    """
    fields = error if isinstance(error, dict) else {}
    metadata = fields.get("metadata")
    if isinstance(metadata, dict) and ("flagged_input" in metadata or "reasons" in metadata):
        return "refusal"  # OpenRouter's moderation
    said = _said(error)
    return "refusal" if REFUSED.search(said) else "context" if CONTEXT.search(said) else ""


def response(error: Json, host: str, paid: Response) -> Response:
    """The response in a body that has an error and no answer; `paid` has what is known of its price. A refused prompt
    may be billed; one that is too long is not, except by Azure ("Manage costs: HTTP Error response code and billing
    status")."""
    finish_reason = declined(error)
    if not finish_reason:
        return unreadable(f"it is an error: {message_of(error)[:200]}", paid)
    is_free = finish_reason == "context" and not host.endswith(".azure.com") and not paid.usage.is_known
    usage = Usage(0, 0, 0) if is_free else paid.usage
    return replace(paid, text=message_of(error), finish_reason=finish_reason, usage=usage)


def broken_off(error: Json, finish_reason: str, warnings: list[str]) -> str:
    """The `finish_reason` of an answer that this error, if there is one, has ended; what was written was paid."""
    if not error:
        return finish_reason
    warnings.append(f"the answer broke off: {message_of(error)[:200]}")
    return "error" if finish_reason in ("stop", "") else finish_reason


def kind_of(error: Json, status: int, headers: Mapping[str, str]) -> str:
    """The kind of the `CallError`. An error with HTTP 200 and no code is the server's."""
    if NO_ACCOUNT.search(_said(error)) and status < 500:
        return "account"
    if status in BUSY or (status == 503 and "Retry-After" in headers):
        return "busy"
    if status < 400 or status >= 500 or status in PASSING:
        return "server"
    return "account" if status in ACCOUNT else "request"


def _choice(answer: dict[str, Json]) -> dict[str, Json]:
    """The first choice of a chat completion; else {}."""
    choices = answer.get("choices")
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def _said(error: Json) -> str:
    """The code, the type and the message of an error, in lower case."""
    fields = error if isinstance(error, dict) else {}
    inner = fields.get("innererror")
    codes = [fields.get("code"), fields.get("type"), inner.get("code") if isinstance(inner, dict) else ""]
    return " ".join([*(str(code) for code in codes), message_of(error)])[:4000].lower()
