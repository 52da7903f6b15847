"""Message templates that accounts wrote themselves."""

from textgate.domain.template import Template
from textgate.store.noun import Noun
from textgate.store.table import Table

TEMPLATE = Table("template", Template)


class Templates(Noun):
    """One text for each name and language."""

    def save(self, template: Template) -> None:
        """Store a text, new or in place of the one before."""
        self.remove(template.account_id, template.name, template.language)
        self._tx.run(TEMPLATE.insert, TEMPLATE.values(template))
        self._tx.changed("template")

    def remove(self, account_id: str, name: str, language: str) -> bool:
        self._tx.changed("template")
        return bool(
            self._tx.run(
                "DELETE FROM template WHERE account_id = :account AND name = :name"
                " AND language = :language",
                {"account": account_id, "name": name, "language": language},
            )
        )

    def all(self, account_id: str) -> tuple[Template, ...]:
        """Return the account's texts by name and language."""
        return self._tx.memo("template", account_id, lambda: self._all(account_id))

    def _all(self, account_id: str) -> tuple[Template, ...]:
        rows = self._tx.all(
            f"{TEMPLATE.select} WHERE account_id = :account ORDER BY name, language",
            {"account": account_id},
        )
        return tuple(TEMPLATE.read(row) for row in rows)
