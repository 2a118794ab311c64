"""One way to make a generation: render the prompt, get a response, parse it, write four files."""
