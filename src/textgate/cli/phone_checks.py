"""What ``textgate doctor`` looks at for phones."""

from textgate.cli.checks import Check, Level
from textgate.config import Settings
from textgate.gateway.phone_settings import unreachable
from textgate.listening import is_alone, url_at


def phones(settings: Settings) -> Check:
    """Whether phones can send their events here; without it they call the webhooks themselves."""
    host = "127.0.0.1" if settings.host == "localhost" else settings.host
    url = url_at(settings, host, settings.port)
    why = unreachable(url, elsewhere=not is_alone(settings))
    if why is None:
        return Check("phones", Level.OK, f"they send their events to {url}")
    reason, _, cure = why.rpartition(": ")
    said = f"they send no events to {url}, so they call webhooks themselves and fill no inbox"
    return Check("phones", Level.WARN, f"{said}: {reason}", cure)
