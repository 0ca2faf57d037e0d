"""TXT records of domains (RFC 1035, section 3.3.14)."""

from collections.abc import Sequence
from dataclasses import dataclass

import dns.exception
import dns.nameserver
import dns.resolver

from cwz_web.i18n import gettext
from cwz_web.net.addresses import DNS_PORT, split_port

TIMEOUT_SECONDS = 2.0
TOTAL_SECONDS = 5.0


class DnsError(Exception):
    """The name server did not respond; the message can be shown in a form."""


@dataclass(frozen=True)
class TxtResolver:
    """Looks up TXT records.

    Attributes:
        servers: The IP addresses of name servers, optionally with a port; empty for those of the system.
    """

    servers: Sequence[str] = ()

    def lookup(self, name: str) -> list[str]:
        """Return the TXT records of a name; none if it does not exist.

        Raises:
            DnsError: No name server responded in time.
        """
        try:
            resolver = dns.resolver.Resolver(configure=not self.servers)
            if self.servers:
                resolver.nameservers = [
                    dns.nameserver.Do53Nameserver(*split_port(server, DNS_PORT)) for server in self.servers
                ]
            resolver.timeout, resolver.lifetime = TIMEOUT_SECONDS, TOTAL_SECONDS
            records = resolver.resolve(name, "TXT", search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError):
            raise DnsError(
                gettext("No name server responded to the query for %(name)s. Try again in a few minutes", name=name)
            ) from None
        return [b"".join(record.strings).decode("utf-8", "replace") for record in records]
