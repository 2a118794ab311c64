"""Tasks with exact graders, and the answers to them: what probes and distillations are made of."""
