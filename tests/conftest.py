"""What every test needs."""

pytest_plugins = ["no_skips"]
