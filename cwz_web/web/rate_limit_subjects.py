"""What an attempt is counted by: its target, its caller, and pairs of both."""

from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address, ip_network
from uuid import UUID

from sqlalchemy import select

from cwz_web.accounts.models import Account, has_email
from cwz_web.accounts.registration import normalize_email
from cwz_web.accounts.tokens import digest
from cwz_web.resources.application import SignInRoot
from cwz_web.resources.workspace import InvitationResource, WorkspaceCollection
from cwz_web.security import SignedInUser
from cwz_web.web.login_flow import find_device, find_pending_profile
from cwz_web.web.request import Request

MAX_ADDRESS_LENGTH = 254
# The view that sends an invitation to its own recipient again.
RESEND_INVITATION = "resend-invitation"
# Dots in these addresses are ignored by the provider, as is everything after "+" by most providers.
DOTLESS_DOMAINS = frozenset({"gmail.com", "googlemail.com"})


def find_subjects(request: Request, scopes: Iterable[str]) -> dict[str, str]:
    """Return the subject of each scope that applies to a request.

    A known device of the target's owner counts in the scopes with "device" only.

    Args:
        scopes: Names of subjects, or several joined by "-".
    """
    found: dict[str, str] = {}
    for scope in scopes:
        values = [SUBJECTS[name](request) for name in scope.split("-")]
        if all(value is not None for value in values):
            found[scope] = "-".join(map(str, values))
    known = {scope: subject for scope, subject in found.items() if "device" in scope.split("-")}
    return known or found


def client_network(address: str) -> str:
    """Return what an IP address is counted as: itself, or the /64 of IPv6, which one customer has."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False)) if parsed.ipv4_mapped is None else str(parsed.ipv4_mapped)
    return address


def mailbox_of(address: str) -> str:
    """Return the mailbox that an email address belongs to: `a.b+1@gmail.com` is delivered as `ab@gmail.com`."""
    local, _, domain = address.rpartition("@")
    local = local.partition("+")[0]
    return f"{local.replace('.', '') if domain in DOTLESS_DOMAINS else local}@{domain}"


def _target_address(request: Request) -> str | None:
    """Return the email address that the attempt is about: of an invitation, of a Google account, or typed."""
    if isinstance(request.context, InvitationResource):
        return str(request.context.row.email).lower()
    if isinstance(request.context, SignInRoot) and request.view_name == "link":
        profile = find_pending_profile(request)
        return profile.email.lower() if profile else None
    if isinstance(request.context, WorkspaceCollection) and request.view_name == RESEND_INVITATION:
        return request.user.account.email.lower()
    typed = request.POST.get("email")
    if not isinstance(typed, str) or not typed.strip():
        return None
    try:
        return normalize_email(typed[: MAX_ADDRESS_LENGTH + 1].strip()).lower()
    except ValueError:
        return typed.strip().lower()


def _address(request: Request) -> str | None:
    # A digest, since the text has any length and can be a password in the wrong field.
    address = _target_address(request)
    return digest(mailbox_of(address)) if address else None


def _account(request: Request) -> str | None:
    return str(request.login_step["sub"]) if request.login_step is not None else None


def _link(request: Request) -> str | None:
    token = request.POST.get("token") or request.GET.get("token")
    return digest(token) if isinstance(token, str) else None


def _workspace(request: Request) -> str | None:
    """Return the workspace of the page, of the signed URL, or of the API key."""
    owner = request.workspace_or_none or request.context
    if not hasattr(owner, "workspace_id"):
        owner = request.identity
    return str(owner.workspace_id) if hasattr(owner, "workspace_id") else None


def _role(request: Request) -> str | None:
    access = request.workspace_or_none
    return access.role if access else None


def _user(request: Request) -> str | None:
    return str(request.identity.account.id) if isinstance(request.identity, SignedInUser) else None


def _session(request: Request) -> str | None:
    return str(request.identity.session.id) if isinstance(request.identity, SignedInUser) else None


def _network(request: Request) -> str:
    return client_network(request.remote_addr or "")


def _device(request: Request) -> str | None:
    device = find_device(request)
    account = _target_account(request) if device else None
    return device.id if device and account and device.knows(account) else None


def _target_account(request: Request) -> Account | None:
    if request.login_step is not None and request.view_name == "code":
        return request.db.get(Account, UUID(request.login_step["sub"]))
    address = _target_address(request)
    return request.db.scalar(select(Account).where(has_email(address))) if address else None


SUBJECTS: dict[str, Callable[[Request], str | None]] = {
    "address": _address,
    "account": _account,
    "link": _link,
    "workspace": _workspace,
    "role": _role,
    "user": _user,
    "session": _session,
    "network": _network,
    "device": _device,
    "total": lambda request: "",
}
