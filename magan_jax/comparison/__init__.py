"""Several ways of training one generator, held against each other and against their reports."""
