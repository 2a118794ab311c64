"""Tasks with exact graders, and the answers to them. Probes and distillations use them."""
