"""DREAM consolidation: experiences -> replay set -> a trained, measured and registered student."""
