"""The one door to the outside: which addresses may be dialled, and how they are called."""
