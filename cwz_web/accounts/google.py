"""Sign-in with Google: the linked accounts of an account, and the account of a Google profile.

The client is `openid.OpenIDProvider`; its discovery URL is a setting, so that tests use another OpenID provider. A
Google account is linked to an existing account after its owner has authenticated.
"""

from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cwz_web.accounts import emails
from cwz_web.accounts.models import Account, ExternalIdentity, LoginSession, Passkey, has_email
from cwz_web.accounts.openid import OpenIDProfile
from cwz_web.accounts.sessions import end_all_sessions
from cwz_web.accounts.tokens import delete_tokens
from cwz_web.notify.tasks import enqueue_email


class PasswordRequiredError(Exception):
    """An account with this email address exists; its password is required before Google is linked to it."""


def sign_in_with_google(
    db: Session, profile: OpenIDProfile, *, signed_in: LoginSession | None, locale: str | None = None
) -> Account:
    """Return the account of a Google profile.

    It is the linked account, the signed-in one after linking it, or a new one.

    Args:
        db: The database session.
        profile: The validated profile.
        signed_in: The browser's session, if the user started from it; Google is linked to its account.
        locale: The locale of a new account.

    Raises:
        PasswordRequiredError: A verified account has this email address and is not linked yet.
    """
    linked = db.scalar(
        select(Account)
        .join(ExternalIdentity, ExternalIdentity.account_id == Account.id)
        .where(ExternalIdentity.issuer == profile.issuer, ExternalIdentity.subject == profile.subject)
    )
    if linked is not None:
        return linked
    if signed_in is not None:
        return link_google(db, signed_in.account, profile)
    account = db.scalar(select(Account).where(has_email(profile.email)).with_for_update())
    if account is None:
        account = Account(email=profile.email, name=profile.name)
        db.add(account)
        db.flush()
    elif account.verified_at is not None:
        raise PasswordRequiredError
    take_over(db, account, profile.name, locale)
    _add_identity(db, account, profile)
    return account


def link_google(db: Session, account: Account, profile: OpenIDProfile) -> Account:
    """Link a Google account to an account whose owner has authenticated, and notify the owner."""
    _add_identity(db, account, profile)
    enqueue_email(db, account.email, emails.google_linked(account, profile.email))
    return account


def unlink_google(db: Session, account: Account) -> None:
    """Unlink every Google account, and notify the owner."""
    identities = list_identities(db, account)
    if identities:
        enqueue_email(db, account.email, emails.google_unlinked(account, identities))
    db.execute(delete(ExternalIdentity).where(ExternalIdentity.account_id == account.id))


def list_identities(db: Session, account: Account) -> list[ExternalIdentity]:
    """Return the Google accounts linked to an account."""
    return list(db.scalars(select(ExternalIdentity).where(ExternalIdentity.account_id == account.id)))


def take_over(db: Session, account: Account, name: str, locale: str | None) -> None:
    """Give an unverified account to the owner of its email address, without what was set up before verification."""
    account.password_hash = None
    account.name, account.locale = name, locale
    account.encrypted_totp_secret = account.totp_confirmed_at = account.totp_last_step = None
    db.execute(delete(Passkey).where(Passkey.account_id == account.id))
    delete_tokens(db, account)
    end_all_sessions(db, account)
    account.verified_at = datetime.now(UTC)


def _add_identity(db: Session, account: Account, profile: OpenIDProfile) -> None:
    db.add(ExternalIdentity(issuer=profile.issuer, subject=profile.subject, account_id=account.id, email=profile.email))
    db.flush()
