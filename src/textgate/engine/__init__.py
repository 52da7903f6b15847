"""Takes work and does it: sends messages, calls webhooks, keeps house."""
