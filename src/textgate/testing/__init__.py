"""The kit: what tests need of the real world. Shipped, and never imported by the rest."""
