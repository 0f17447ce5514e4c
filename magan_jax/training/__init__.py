"""Training: one engine, and one thin file per thing trained."""
