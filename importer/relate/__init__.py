"""The tables together: who wrote what, what belongs to what, what cannot go without the rest."""
