"""A master key that opens nothing but the databases of tests."""

from textgate.store.vault import Vault

MASTER_KEY = "a-master-key-of-tests-that-is-no-secret"
VAULT = Vault(MASTER_KEY)
