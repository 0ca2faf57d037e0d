"""Single sign-on: the OpenID provider of a workspace, its verified email domains, and the accounts that it vouches for.

A provider vouches for users of its own workspace only: the session that it starts opens no other workspace and not the
account. It has to confirm an email address in a domain that the workspace has verified by a TXT record.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from uuid import UUID

import idna
from sqlalchemy import ColumnElement, Select, delete, func, or_, select, text, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from cwz_web.accounts.google import take_over
from cwz_web.accounts.models import Account, LoginSession, has_email
from cwz_web.accounts.openid import WELL_KNOWN, OpenIDProfile, OpenIDProvider
from cwz_web.accounts.sessions import end_provider_sessions
from cwz_web.crypto import KeyRing
from cwz_web.db.session import enter_workspace, leave_workspace
from cwz_web.i18n import gettext, use_locale
from cwz_web.net.client import INVALID_PORT, BlockedRequestError, InvalidPortError, check_url
from cwz_web.net.guard import OutboundPolicy
from cwz_web.notify.emails import PRODUCT, EmailMessage
from cwz_web.notify.tasks import enqueue_email
from cwz_web.workspaces.audit import Actor, record
from cwz_web.workspaces.models import EmailDomain, IdentityProvider, Membership, ProviderIdentity, Role, Workspace
from cwz_web.workspaces.removed_members import forget_removal, may_join

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_DOMAINS = 20
MAX_DOMAIN_LENGTH = 253
RECORD_PREFIX = "_connectwyze"
VALUE_PREFIX = "connectwyze-verification="
# A provider cannot create admins: they are invited, or promoted by another admin.
DEFAULT_ROLES = (Role.USER, Role.SUPPORT)


class SingleSignOnError(Exception):
    """A setting cannot be saved, or a user cannot sign in; the message can be shown in a form."""


class RemovedMemberError(SingleSignOnError):
    """An admin removed the member, and has not invited them again."""


@dataclass(frozen=True)
class ProviderSettings:
    """What an admin enters.

    Attributes:
        issuer: The issuer URL, without a slash at its end.
        client_secret: The client secret; None to keep the saved one.
        default_role: The role of members who join through the provider.
        is_required: Whether members have to use it who have used it before, or have an address in a verified domain.
    """

    issuer: str
    client_id: str
    client_secret: str | None
    default_role: Role
    is_required: bool


def find_provider(db: Session, workspace_id: UUID) -> IdentityProvider | None:
    """Return the provider of the entered workspace, or None."""
    return db.get(IdentityProvider, workspace_id)


def find_workspace_of_email(db: Session, email: str) -> UUID | None:
    """Return the workspace whose provider is responsible for an email address: one that verified its domain."""
    found: UUID | None = db.scalar(text("SELECT provider_workspace_of(:domain)"), {"domain": domain_of(email)})
    return found


def open_provider(provider: IdentityProvider, ring: KeyRing, url: str, outbound: OutboundPolicy) -> OpenIDProvider:
    """Return the client of a workspace's provider.

    Raises:
        DecryptionError: The client secret cannot be decrypted.
    """
    secret = ring.decrypt(provider.encrypted_client_secret, *_context(provider.workspace_id))
    redirect_uri = redirect_uri_of(url, provider.workspace_id)
    return OpenIDProvider(provider.issuer + WELL_KNOWN, provider.client_id, secret, redirect_uri, outbound)


def redirect_uri_of(url: str, workspace_id: UUID) -> str:
    """Return the callback URL: one for each provider, so that none can answer for another (RFC 9700, section 4.4)."""
    return f"{url}/signin/sso/{workspace_id}/callback"


def check_issuer(issuer: str, outbound: OutboundPolicy) -> str:
    """Return an issuer URL as it is stored.

    Raises:
        ValueError: It is no https URL of an issuer; the message can be shown in a form.
    """
    stripped = issuer.rstrip("/")
    try:
        parsed = check_url(stripped)
    except InvalidPortError:
        raise ValueError(gettext(INVALID_PORT)) from None
    except BlockedRequestError:
        raise ValueError(gettext("Enter the issuer URL, such as https://login.example.com")) from None
    if not outbound.is_secure(stripped):
        raise ValueError(gettext("Enter a URL that begins with https://"))
    port = parsed.port or DEFAULT_PORTS[parsed.scheme]
    if not outbound.is_declared(f"{parsed.host}:{port}", port):
        raise ValueError(
            gettext("Enter a URL without a port: only port 443 is allowed, besides what the operator allows")
        )
    if parsed.query or "#" in issuer or stripped.endswith(WELL_KNOWN):
        raise ValueError(gettext("Enter the issuer URL only, without %(path)s", path=WELL_KNOWN))
    return stripped


def save_provider(
    db: Session, workspace_id: UUID, ring: KeyRing, entered: ProviderSettings, *, admin: LoginSession
) -> IdentityProvider:
    """Save the provider of a workspace. Another issuer or client ends the sessions of the previous one.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        ring: Encrypts the client secret.
        entered: The settings.
        admin: The session of the admin, which remains.

    Raises:
        SingleSignOnError: The client secret is missing.
    """
    provider = find_provider(db, workspace_id)
    if provider is None:
        if entered.client_secret is None:
            raise SingleSignOnError(gettext("Enter the client secret"))
        provider = IdentityProvider(workspace_id=workspace_id, issuer=entered.issuer, client_id=entered.client_id)
        db.add(provider)
    elif (provider.issuer, provider.client_id) != (entered.issuer, entered.client_id):
        if entered.client_secret is None:
            raise SingleSignOnError(gettext("Enter the client secret of the new client"))
        _forget_users(db, workspace_id, admin)
    if entered.client_secret is not None:
        provider.encrypted_client_secret = ring.encrypt(entered.client_secret, *_context(workspace_id))
    provider.issuer, provider.client_id = entered.issuer, entered.client_id
    provider.default_role, provider.is_required = entered.default_role, entered.is_required
    db.flush()
    return provider


def remove_provider(db: Session, provider: IdentityProvider, *, admin: LoginSession) -> None:
    """Remove the provider of a workspace, and end its sessions but the admin's. Its domains remain verified."""
    _forget_users(db, provider.workspace_id, admin)
    db.delete(provider)
    db.flush()


def has_been_used(db: Session, workspace_id: UUID) -> bool:
    """Return whether a user has signed in through the provider as it is saved."""
    used = select(ProviderIdentity.subject).where(ProviderIdentity.workspace_id == workspace_id).limit(1)
    return db.scalar(used) is not None


def reencrypt_client_secret(provider: IdentityProvider, ring: KeyRing) -> bool:
    """Encrypt the client secret with the newest key. Return whether it used another key before."""
    if ring.is_newest(provider.encrypted_client_secret):
        return False
    context = _context(provider.workspace_id)
    provider.encrypted_client_secret = ring.encrypt(ring.decrypt(provider.encrypted_client_secret, *context), *context)
    return True


def list_domains(db: Session, workspace_id: UUID) -> list[EmailDomain]:
    """Return the email domains of a workspace, by name."""
    return list(
        db.scalars(select(EmailDomain).where(EmailDomain.workspace_id == workspace_id).order_by(EmailDomain.domain))
    )


def normalize_domain(text: str) -> str:
    """Return a domain in the ASCII form of email addresses, in lower case.

    Raises:
        ValueError: The text is no domain; the message can be shown in a form.
    """
    message = gettext("Enter a domain, such as example.com")
    try:
        domain = idna.encode(text.strip().lower().removeprefix("@"), uts46=True).decode()
    except idna.IDNAError:
        raise ValueError(message) from None
    if "." not in domain or domain.endswith(".") or len(domain) > MAX_DOMAIN_LENGTH - len(RECORD_PREFIX) - 1:
        raise ValueError(message)
    try:
        ip_address(domain)
    except ValueError:
        return domain
    raise ValueError(message)


def add_domain(db: Session, workspace_id: UUID, domain: str) -> EmailDomain:
    """Add a domain, which counts once it is verified.

    Raises:
        SingleSignOnError: The domain is there, or there are too many.
    """
    # The lock serializes two admins who add domains at the same time.
    db.execute(select(Workspace.id).where(Workspace.id == workspace_id).with_for_update())
    domains = list_domains(db, workspace_id)
    if domain in {known.domain for known in domains}:
        raise SingleSignOnError(gettext("This domain has already been added"))
    if len(domains) >= MAX_DOMAINS:
        raise SingleSignOnError(
            gettext("A workspace can have at most %(number)s domains. Remove one first", number=MAX_DOMAINS)
        )
    added = EmailDomain(workspace_id=workspace_id, domain=domain, token=secrets.token_urlsafe(32))
    db.add(added)
    db.flush()
    return added


def remove_domain(db: Session, domain: EmailDomain, *, admin: LoginSession) -> None:
    """Remove a domain; its users can no longer sign in through the provider, and the sessions that it started end.

    Args:
        db: A transaction in the workspace.
        domain: The domain.
        admin: The session of the admin, which remains.

    Raises:
        SingleSignOnError: The workspace requires single sign-on, and has no other verified domain.
    """
    provider = db.get(IdentityProvider, domain.workspace_id, with_for_update=True)
    verified = [known.id for known in list_domains(db, domain.workspace_id) if known.verified_at is not None]
    if provider is not None and provider.is_required and verified == [domain.id]:
        raise SingleSignOnError(
            gettext("Verify another domain, or stop requiring single sign-on, before you remove this one")
        )
    if domain.verified_at is not None:
        accounts = _accounts_of_domain(domain.workspace_id, domain.domain)
        end_provider_sessions(db, domain.workspace_id, keep=admin.id, account_ids=accounts)
        _release_members(db, domain.workspace_id, domain.domain)
    db.delete(domain)
    db.flush()


def record_name(domain: EmailDomain) -> str:
    """Return the name of the TXT record that verifies a domain."""
    return f"{RECORD_PREFIX}.{domain.domain}"


def record_value(domain: EmailDomain) -> str:
    """Return the value of the TXT record that verifies a domain."""
    return VALUE_PREFIX + domain.token


def has_record(domain: EmailDomain, lookup: Callable[[str], list[str]]) -> bool:
    """Return whether the domain has its TXT record. Nothing is read from the database.

    Args:
        domain: The domain.
        lookup: Returns the TXT records of a name.
    """
    expected = record_value(domain).encode()
    return any(hmac.compare_digest(found.strip().encode(), expected) for found in lookup(record_name(domain)))


def mark_verified(db: Session, workspace_id: UUID, domain: str) -> None:
    """Mark a domain as verified, whose TXT record was found.

    Raises:
        SingleSignOnError: Another workspace has verified it.
    """
    owner = db.scalar(text("SELECT workspace_of_domain(:domain)"), {"domain": domain})
    if owner not in (None, workspace_id):
        raise SingleSignOnError(gettext("Another workspace has verified this domain. Remove it there first"))
    row = db.scalars(
        select(EmailDomain).where(EmailDomain.workspace_id == workspace_id, EmailDomain.domain == domain)
    ).one()
    row.verified_at = row.verified_at or datetime.now(UTC)
    db.flush()


def find_account(db: Session, workspace_id: UUID, profile: OpenIDProfile, locale: str | None = None) -> Account:
    """Return the account of a user of the provider, which is created if there is none.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        profile: The validated profile.
        locale: The locale of a new account.

    Raises:
        SingleSignOnError: The workspace has not verified the domain of the email address.
    """
    verified = {known.domain for known in list_domains(db, workspace_id) if known.verified_at is not None}
    if domain_of(profile.email) not in verified:
        raise SingleSignOnError("domain not verified")
    known = db.get(ProviderIdentity, (workspace_id, profile.issuer, profile.subject))
    if known is not None:
        return db.get_one(Account, known.account_id)
    account = db.scalar(select(Account).where(has_email(profile.email)).with_for_update())
    if account is None:
        account = Account(email=profile.email, name=profile.name)
        db.add(account)
        db.flush()
    if account.verified_at is None:
        take_over(db, account, profile.name, locale)
    return account


def is_member(db: Session, workspace_id: UUID, account: Account) -> bool:
    """Return whether an account is a member of the entered workspace."""
    return db.get(Membership, (workspace_id, account.id)) is not None


def join(db: Session, provider: IdentityProvider, account: Account, profile: OpenIDProfile, ip_address: str) -> None:
    """Make an account a member, with the default role.

    Raises:
        RemovedMemberError: An admin removed the member, and has not invited them again.
    """
    if not may_join(db, provider.workspace_id, account, profile.email):
        raise RemovedMemberError("removed")
    forget_removal(db, provider.workspace_id, account, profile.email)
    db.add(Membership(workspace_id=provider.workspace_id, account_id=account.id, role=provider.default_role))
    db.flush()
    actor = Actor(account.id, f"{account.name} <{account.email}>", ip_address)
    details = {"role": provider.default_role, "through": "single sign-on"}
    record(db, provider.workspace_id, actor, "member.join", account.email, details)


def remember_identity(db: Session, workspace_id: UUID, account: Account, profile: OpenIDProfile) -> None:
    """Remember which account a user of the provider has, and notify its owner the first time."""
    db.get_one(Membership, (workspace_id, account.id)).provider_domain = domain_of(profile.email)
    if db.get(ProviderIdentity, (workspace_id, profile.issuer, profile.subject)) is not None:
        return
    db.add(
        ProviderIdentity(
            workspace_id=workspace_id,
            issuer=profile.issuer,
            subject=profile.subject,
            account_id=account.id,
            email=profile.email,
        )
    )
    db.flush()
    enqueue_email(db, account.email, provider_linked(account, db.get_one(Workspace, workspace_id)))


def keep_requirement(db: Session, account: Account, previous_email: str) -> None:
    """Keep single sign-on required of a member whose email address leaves a verified domain.

    Args:
        db: A transaction outside of workspaces, where it ends as well.
        account: The account, whose email address changes.
        previous_email: The email address before the change.
    """
    domain = domain_of(previous_email)
    workspace_id = db.scalar(text("SELECT workspace_of_domain(:domain)"), {"domain": domain})
    if workspace_id is not None:
        enter_workspace(db, workspace_id, deleted=True)  # it can be restored
        own = (Membership.workspace_id == workspace_id) & (Membership.account_id == account.id)
        db.execute(update(Membership).where(own).values(provider_domain=domain))
        leave_workspace(db)


def domain_of(email: str) -> str:
    """Return the domain of an email address, in lower case."""
    return email.rpartition("@")[2].lower()


def provider_linked(account: Account, workspace: Workspace) -> EmailMessage:
    """Return the notification of the first sign-in through a workspace's provider, in the locale of the account."""
    with use_locale(account.locale):
        return EmailMessage(
            gettext("You can now sign in to %(workspace)s with single sign-on", workspace=workspace.name),
            (
                gettext("Hello %(name)s,", name=account.name),
                gettext(
                    "Someone, probably you, signed in to the workspace %(workspace)s of %(product)s through the"
                    " identity provider of your organization. Such a sign-in opens this workspace only, not your"
                    " account.",
                    workspace=workspace.name,
                    product=PRODUCT,
                ),
                gettext("If this was not you, contact the administrators of your organization."),
            ),
        )


def _forget_users(db: Session, workspace_id: UUID, admin: LoginSession) -> None:
    db.execute(delete(ProviderIdentity).where(ProviderIdentity.workspace_id == workspace_id))
    end_provider_sessions(db, workspace_id, keep=admin.id)


def _accounts_of_domain(workspace_id: UUID, domain: str) -> Select[UUID]:
    """Return the query for members with an address in a domain, of their account or as the provider confirmed it."""
    identity = (ProviderIdentity.workspace_id == Membership.workspace_id) & (
        ProviderIdentity.account_id == Membership.account_id
    )
    return (
        select(Membership.account_id)
        .join(Account, Account.id == Membership.account_id)
        .outerjoin(ProviderIdentity, identity)
        .where(
            Membership.workspace_id == workspace_id,
            or_(
                Membership.provider_domain == domain,
                _domain(Account.email) == domain,
                _domain(ProviderIdentity.email) == domain,
            ),
        )
    )


def _release_members(db: Session, workspace_id: UUID, domain: str) -> None:
    """Release members from single sign-on whose domain is removed: the provider no longer signs them in."""
    members = (Membership.workspace_id == workspace_id) & (Membership.provider_domain == domain)
    db.execute(update(Membership).where(members).values(provider_domain=None))


def _domain(email: InstrumentedAttribute[str]) -> ColumnElement[str]:
    return func.lower(func.split_part(email, "@", -1))


def _context(workspace_id: UUID) -> tuple[str, ...]:
    return ("identity_providers", str(workspace_id), "client_secret")
