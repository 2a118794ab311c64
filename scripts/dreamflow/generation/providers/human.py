"""A person (or an agent) answers: the question waits in an inbox folder until its answer file exists."""

from pathlib import Path

from ...files import write_atomic
from . import Pending, Provider, Request, Response


def answer_path(inbox: Path, gen_id: str) -> Path:
    """The file in which the answer to a generation's question is expected."""
    return inbox / f"{gen_id}.answer.txt"


class Human(Provider):
    """A person."""

    is_free = True

    def complete(self, request: Request) -> Response:
        """Return the answer. Writes the question to the inbox and raises `Pending` if there is no answer yet."""
        answer = answer_path(request.inbox, request.gen_id)
        if answer.exists():
            return Response(answer.read_text(encoding="utf-8", errors="replace"), model_name="human")
        question = request.inbox / f"{request.gen_id}.question.txt"
        write_atomic(question, "\n\n".join(message.content for message in request.messages))
        raise Pending(f"waits for a person: read {question}, write {answer.name} beside it, run again")


PROVIDER = Human
