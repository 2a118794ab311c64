"""What routing saves, on recorded outcomes of models and on simulated models.

Run: python tests/benchmarks/routing.py recorded FILE.csv[.gz] [--orders 3] [--past 0 0.5] [--text COLUMN]
         [--context COLUMN] [--models CHEAP ... DEAR]
     python tests/benchmarks/routing.py simulated [--tasks 12000] [--seeds 8]
(routing_models.py: on recorded answers of models of this project)

recorded: a CSV file with a column of texts, a column of contexts if there is one, and two or more columns with the
outcomes of models, 0 to 1. Each question comes once, in random order, and a policy learns from the outcome of the model
that it asked; with --past, from all outcomes of this share of the questions before. Costs are spread evenly from 0 (of
the least accurate model) to 1: of two models, the cost is the share of calls of the dear one. The area is the mean over
this share of (accuracy - cheap) / (dear - cheap): .5 for a random mixture. "Within a budget" sets the price of a call
by the recent questions (`routing.price`); at fixed prices `model: auto` chooses (`trust.atp_value`).

simulated: five models with costs from 1 to 20 in four contexts, whose rates of success are known, and drift.

90% intervals by bootstrap: over questions and orders, or over seeds.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import routing_recorded
import routing_simulated
from dreamflow.errors import DreamflowError


def main() -> int:
    """Measure and print; status 2 for a file that cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = parser.add_subparsers(dest="part", required=True)
    recorded = parts.add_parser("recorded", help="recorded outcomes of models in a CSV file")
    recorded.add_argument("file", type=Path, metavar="FILE.csv[.gz]")
    recorded.add_argument("--orders", type=int, default=3, help="random orders of the questions (3)")
    recorded.add_argument("--past", type=float, nargs="+", default=[0, 0.5], help="shares of past evidence (0 0.5)")
    recorded.add_argument("--text", help="column of the texts (prompt, question, text or input)")
    recorded.add_argument("--context", help="column of the contexts (domain, context, subject or category)")
    recorded.add_argument("--models", nargs="+", help="columns of the models, the cheapest first (all, by accuracy)")
    simulated = parts.add_parser("simulated", help="models with known rates of success that drift")
    simulated.add_argument("--tasks", type=int, default=12_000, help="tasks of a run (12000)")
    simulated.add_argument("--seeds", type=int, default=8, help="runs (8)")
    options = parser.parse_args()
    started = time.process_time()
    if options.part == "simulated":
        print(*routing_simulated.report(options.tasks, options.seeds), sep="\n")
    else:
        if options.orders < 1 or not all(0 <= share < 1 for share in options.past):
            parser.error("--orders is 1 or more, and --past is from 0 to below 1")
        try:
            data = routing_recorded.read(options.file, options.text, options.context, options.models)
        except DreamflowError as error:
            print(error, file=sys.stderr)
            return 2
        for share in options.past:
            print(*routing_recorded.report(data, options.orders, share), "", sep="\n", flush=True)
    print(f"\n{time.process_time() - started:.0f} s of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
