"""TXT records of domains (RFC 1035, section 3.3.14)."""

from collections.abc import Sequence
from dataclasses import dataclass

import dns.exception
import dns.nameserver
import dns.resolver

DNS_PORT = 53
TIMEOUT_SECONDS = 2.0
TOTAL_SECONDS = 5.0


class DnsError(Exception):
    """The name server did not respond; the message can be shown in a form."""


@dataclass(frozen=True)
class TxtResolver:
    """Looks up TXT records.

    Attributes:
        servers: The IP addresses of name servers, with a port if it is not 53; empty for those of the system.
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
                resolver.nameservers = [_name_server(server) for server in self.servers]
            resolver.timeout, resolver.lifetime = TIMEOUT_SECONDS, TOTAL_SECONDS
            answer = resolver.resolve(name, "TXT", search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError):
            raise DnsError(f"No name server answered the query for {name}. Try again in a few minutes") from None
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]


def _name_server(server: str) -> dns.nameserver.Nameserver:
    host, _, port = server.rpartition(":") if server.count(":") == 1 else (server, "", "")
    return dns.nameserver.Do53Nameserver(host, int(port or DNS_PORT))
