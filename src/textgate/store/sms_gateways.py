"""The accounts' setting *Custom SMS Gateway*."""

from textgate.domain.sms_gateway import SmsGateway
from textgate.store.noun import Noun
from textgate.store.table import Table

SMS_GATEWAY = Table("sms_gateway", SmsGateway)


class SmsGateways(Noun):
    """At most one for each account."""

    def get(self, account_id: str) -> SmsGateway | None:
        row = self._tx.one(
            f"{SMS_GATEWAY.select} WHERE account_id = :account", {"account": account_id}
        )
        return SMS_GATEWAY.read(row) if row else None

    def save(self, gateway: SmsGateway) -> None:
        """Store it, new or known."""
        self._tx.run(
            "DELETE FROM sms_gateway WHERE account_id = :account", {"account": gateway.account_id}
        )
        self._tx.run(SMS_GATEWAY.insert, SMS_GATEWAY.values(gateway))
