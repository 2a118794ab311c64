"""DREAM consolidation: experiences -> replay set -> a trained student that is measured, gated and registered."""
