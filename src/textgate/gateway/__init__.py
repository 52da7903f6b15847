"""The verbs: plain functions over a ``Tx``. The only place where states change."""
