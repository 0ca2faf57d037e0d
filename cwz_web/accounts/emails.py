"""Emails to users about their account."""

from collections.abc import Iterable
from datetime import datetime

from cwz_web.accounts.models import Account, ExternalIdentity, Passkey
from cwz_web.notify.emails import PRODUCT, EmailMessage

IGNORE = "If you did not request this, you can ignore this email."
ALERT = (
    'If this was not you, choose "Forgot your password?" on the sign-in page now.'
    " Resetting the password signs out every browser."
)


def verification(url: str) -> EmailMessage:
    """Return the email that verifies the address of a sign-up."""
    return EmailMessage(
        f"Confirm your email address for {PRODUCT}",
        (
            f"Welcome to {PRODUCT}. Confirm your email address to activate your account. The link expires in 24 hours.",
            IGNORE,
        ),
        ("Confirm email address", url),
        f"You receive this email because someone signed up for {PRODUCT} with this email address.",
    )


def account_exists(account: Account, url: str) -> EmailMessage:
    """Return the email to the owner of an existing account, after a sign-up with its address."""
    return EmailMessage(
        f"You already have a {PRODUCT} account",
        (
            f"Hello {account.name},",
            "Someone, probably you, tried to sign up with this email address. It already has an account:"
            " nothing has changed.",
            "Sign in as usual. If you have forgotten your password, you can reset it on the sign-in page.",
        ),
        ("Sign in", url),
    )


def reset(
    account: Account, identities: Iterable[ExternalIdentity], passkeys: Iterable[Passkey], url: str
) -> EmailMessage:
    """Return the email with a link to reset the password."""
    return EmailMessage(
        f"Reset your {PRODUCT} password",
        (
            f"Hello {account.name},",
            "We received a request to reset your password. The link expires in one hour, and can be used once.",
            f"{_linked_accounts(identities)} {_passkeys(passkeys)}"
            " You can unlink Google and remove passkeys when you set the new password.",
            IGNORE,
        ),
        ("Reset password", url),
    )


def reset_by_google(account: Account, identities: Iterable[ExternalIdentity], url: str) -> EmailMessage:
    """Return the email for a password reset of an account that signs in with Google and has no password."""
    return EmailMessage(
        f"You sign in to {PRODUCT} with Google",
        (
            f"Hello {account.name},",
            "We received a request to reset your password. Your account has none: sign in with Google instead.",
            _linked_accounts(identities) + " Once signed in, you can set a password on your account page.",
        ),
        ("Sign in", url),
    )


def password_changed(
    account: Account, identities: Iterable[ExternalIdentity], passkeys: Iterable[Passkey]
) -> EmailMessage:
    """Return the notification of a changed password."""
    return EmailMessage(
        f"Your {PRODUCT} password was changed",
        (
            f"Hello {account.name},",
            "Your password was changed, and all other browsers were signed out.",
            f"{_linked_accounts(identities)} {_passkeys(passkeys)}",
            ALERT,
        ),
    )


def confirm_email(account: Account, url: str) -> EmailMessage:
    """Return the email that verifies a new address."""
    return EmailMessage(
        f"Confirm your new email address for {PRODUCT}",
        (
            f"Hello {account.name},",
            "Confirm your new email address to use it for signing in. The link expires in 24 hours.",
            IGNORE,
        ),
        ("Confirm email address", url),
    )


def email_changed(account: Account, new: str) -> EmailMessage:
    """Return the notification to the previous address."""
    return EmailMessage(
        f"Your {PRODUCT} email address was changed",
        (
            f"Hello {account.name},",
            f"The email address of your account is now {new}. You will receive no further emails at this address.",
            "If this was not you, someone else has access to your account. Contact support immediately.",
        ),
    )


def google_linked(account: Account, email: str) -> EmailMessage:
    """Return the notification of a linked Google account."""
    return EmailMessage(
        f"Google was linked to your {PRODUCT} account",
        (f"Hello {account.name},", f"The Google account {email} can now sign in to your account.", ALERT),
    )


def google_unlinked(account: Account, identities: Iterable[ExternalIdentity]) -> EmailMessage:
    """Return the notification of unlinked Google accounts."""
    return EmailMessage(
        f"Google was unlinked from your {PRODUCT} account",
        (
            f"Hello {account.name},",
            f"These Google accounts can no longer sign in to your account: {_addresses(identities)}.",
            ALERT,
        ),
    )


def passkey_added(account: Account, name: str) -> EmailMessage:
    """Return the notification of a new passkey."""
    return EmailMessage(
        f"A passkey was added to your {PRODUCT} account",
        (
            f"Hello {account.name},",
            f"The passkey {name} can now sign in to your account, without your password.",
            ALERT,
        ),
    )


def passkeys_removed(account: Account, passkeys: Iterable[Passkey]) -> EmailMessage:
    """Return the notification of removed passkeys."""
    return EmailMessage(
        f"A passkey was removed from your {PRODUCT} account",
        (
            f"Hello {account.name},",
            f"These passkeys can no longer sign in to your account: {_names(passkeys)}.",
            ALERT,
        ),
    )


def second_factor(account: Account, *, on: bool) -> EmailMessage:
    """Return the notification of a second factor that was turned on or off."""
    change = "Signing in now requires a code from your phone." if on else "Signing in no longer requires a code."
    return EmailMessage(
        f"Two-factor authentication is now {'on' if on else 'off'}",
        (f"Hello {account.name},", change, ALERT),
    )


def recovery_code_used(account: Account, remaining: int) -> EmailMessage:
    """Return the notification of a used recovery code."""
    return EmailMessage(
        "A recovery code was used to sign in",
        (f"Hello {account.name},", f"One of your recovery codes was used to sign in. Codes left: {remaining}.", ALERT),
    )


def account_deletion_scheduled(account: Account, when: datetime, url: str) -> EmailMessage:
    """Return the email after a deletion was scheduled."""
    return EmailMessage(
        f"Your {PRODUCT} account will be deleted",
        (
            f"Hello {account.name},",
            f"Your account will be deleted on {when:%-d %B %Y}. Until then, you can sign in and cancel the deletion.",
        ),
        ("Keep account", url),
    )


def account_deletion_canceled(account: Account) -> EmailMessage:
    """Return the notification of a canceled deletion."""
    return EmailMessage(
        f"The deletion of your {PRODUCT} account was canceled",
        (f"Hello {account.name},", "Your account will not be deleted.", ALERT),
    )


def account_deleted(name: str) -> EmailMessage:
    """Return the final email, after the deletion."""
    return EmailMessage(
        f"Your {PRODUCT} account was deleted",
        (f"Hello {name},", "Your account and the workspaces of which you were the only admin were deleted."),
        reason="You receive this final email because you requested the deletion.",
    )


def _linked_accounts(identities: Iterable[ExternalIdentity]) -> str:
    addresses = _addresses(identities)
    return f"Google accounts that can sign in to your account: {addresses or 'none'}."


def _addresses(identities: Iterable[ExternalIdentity]) -> str:
    return ", ".join(sorted(identity.email for identity in identities))


def _passkeys(passkeys: Iterable[Passkey]) -> str:
    return f"Passkeys: {_names(passkeys) or 'none'}."


def _names(passkeys: Iterable[Passkey]) -> str:
    return ", ".join(sorted(passkey.name for passkey in passkeys))
