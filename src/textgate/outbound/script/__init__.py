"""Custom scripts in Deno, without any permission: their checks, their workers, their requests."""
