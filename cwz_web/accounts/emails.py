"""Emails to users about their account, in the locale of the account."""

import functools
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Concatenate, ParamSpec

from cwz_web.accounts.models import Account, ExternalIdentity, Passkey
from cwz_web.i18n import gettext, gettext_noop, long_date, number, use_locale
from cwz_web.notify.emails import PRODUCT, EmailMessage

P = ParamSpec("P")

IGNORE = gettext_noop("If you did not request this, you can ignore this email.")
ALERT = gettext_noop(
    'If this was not you, choose "Forgot your password?" on the sign-in page now.'
    " Resetting the password signs out every browser."
)


def in_locale_of_account(
    write: Callable[Concatenate[Account, P], EmailMessage],
) -> Callable[Concatenate[Account, P], EmailMessage]:
    """Let a function write its email in the locale of the account."""

    @functools.wraps(write)
    def localized(account: Account, /, *args: P.args, **kwargs: P.kwargs) -> EmailMessage:
        with use_locale(account.locale):
            return write(account, *args, **kwargs)

    return localized


@in_locale_of_account
def verification(account: Account, url: str) -> EmailMessage:
    """Return the email that verifies the address of a sign-up."""
    return EmailMessage(
        gettext("Confirm your email address for %(product)s", product=PRODUCT),
        (
            gettext(
                "Welcome to %(product)s. Confirm your email address to activate your account. The link expires in"
                " 24 hours.",
                product=PRODUCT,
            ),
            gettext(IGNORE),
        ),
        (gettext("Confirm email address"), url),
        gettext(
            "You receive this email because someone signed up for %(product)s with this email address.", product=PRODUCT
        ),
    )


@in_locale_of_account
def account_exists(account: Account, url: str) -> EmailMessage:
    """Return the email to the owner of an existing account, after a sign-up with its address."""
    return EmailMessage(
        gettext("You already have a %(product)s account", product=PRODUCT),
        (
            _hello(account),
            gettext(
                "Someone, probably you, tried to sign up with this email address. It already has an account:"
                " nothing has changed."
            ),
            gettext("Sign in as usual. If you have forgotten your password, you can reset it on the sign-in page."),
        ),
        (gettext("Sign in"), url),
    )


@in_locale_of_account
def reset(
    account: Account, identities: Iterable[ExternalIdentity], passkeys: Iterable[Passkey], url: str
) -> EmailMessage:
    """Return the email with a link to reset the password."""
    return EmailMessage(
        gettext("Reset your %(product)s password", product=PRODUCT),
        (
            _hello(account),
            gettext(
                "We received a request to reset your password. The link expires in one hour, and can be used once."
            ),
            " ".join(
                (
                    _linked_accounts(identities),
                    _passkeys(passkeys),
                    gettext("You can unlink Google and remove passkeys when you set the new password."),
                )
            ),
            gettext(IGNORE),
        ),
        (gettext("Reset password"), url),
    )


@in_locale_of_account
def reset_by_google(account: Account, identities: Iterable[ExternalIdentity], url: str) -> EmailMessage:
    """Return the email for a password reset of an account that signs in with Google and has no password."""
    return EmailMessage(
        gettext("You sign in to %(product)s with Google", product=PRODUCT),
        (
            _hello(account),
            gettext(
                "We received a request to reset your password. Your account has none: sign in with Google instead."
            ),
            " ".join(
                (
                    _linked_accounts(identities),
                    gettext("Once signed in, you can set a password on your account page."),
                )
            ),
        ),
        (gettext("Sign in"), url),
    )


@in_locale_of_account
def password_changed(
    account: Account, identities: Iterable[ExternalIdentity], passkeys: Iterable[Passkey]
) -> EmailMessage:
    """Return the notification of a changed password."""
    return EmailMessage(
        gettext("Your %(product)s password was changed", product=PRODUCT),
        (
            _hello(account),
            gettext("Your password was changed, and all other browsers were signed out."),
            f"{_linked_accounts(identities)} {_passkeys(passkeys)}",
            gettext(ALERT),
        ),
    )


@in_locale_of_account
def confirm_email(account: Account, url: str) -> EmailMessage:
    """Return the email that verifies a new address."""
    return EmailMessage(
        gettext("Confirm your new email address for %(product)s", product=PRODUCT),
        (
            _hello(account),
            gettext("Confirm your new email address to use it for signing in. The link expires in 24 hours."),
            gettext(IGNORE),
        ),
        (gettext("Confirm email address"), url),
    )


@in_locale_of_account
def email_changed(account: Account, new: str) -> EmailMessage:
    """Return the notification to the previous address."""
    return EmailMessage(
        gettext("Your %(product)s email address was changed", product=PRODUCT),
        (
            _hello(account),
            gettext(
                "The email address of your account is now %(email)s. You will receive no further emails at this"
                " address.",
                email=new,
            ),
            gettext("If this was not you, someone else has access to your account. Contact support immediately."),
        ),
    )


@in_locale_of_account
def google_linked(account: Account, email: str) -> EmailMessage:
    """Return the notification of a linked Google account."""
    return EmailMessage(
        gettext("Google was linked to your %(product)s account", product=PRODUCT),
        (
            _hello(account),
            gettext("The Google account %(email)s can now sign in to your account.", email=email),
            gettext(ALERT),
        ),
    )


@in_locale_of_account
def google_unlinked(account: Account, identities: Iterable[ExternalIdentity]) -> EmailMessage:
    """Return the notification of unlinked Google accounts."""
    return EmailMessage(
        gettext("Google was unlinked from your %(product)s account", product=PRODUCT),
        (
            _hello(account),
            gettext(
                "These Google accounts can no longer sign in to your account: %(emails)s.",
                emails=_addresses(identities),
            ),
            gettext(ALERT),
        ),
    )


@in_locale_of_account
def passkey_added(account: Account, name: str) -> EmailMessage:
    """Return the notification of a new passkey."""
    return EmailMessage(
        gettext("A passkey was added to your %(product)s account", product=PRODUCT),
        (
            _hello(account),
            gettext("The passkey %(name)s can now sign in to your account, without your password.", name=name),
            gettext(ALERT),
        ),
    )


@in_locale_of_account
def passkeys_removed(account: Account, passkeys: Iterable[Passkey]) -> EmailMessage:
    """Return the notification of removed passkeys."""
    return EmailMessage(
        gettext("A passkey was removed from your %(product)s account", product=PRODUCT),
        (
            _hello(account),
            gettext("These passkeys can no longer sign in to your account: %(names)s.", names=_names(passkeys)),
            gettext(ALERT),
        ),
    )


@in_locale_of_account
def second_factor(account: Account, *, on: bool) -> EmailMessage:
    """Return the notification of a second factor that was turned on or off."""
    if on:
        subject = gettext("Two-factor authentication is now on")
        change = gettext("Signing in now requires a code from your phone.")
    else:
        subject = gettext("Two-factor authentication is now off")
        change = gettext("Signing in no longer requires a code.")
    return EmailMessage(subject, (_hello(account), change, gettext(ALERT)))


@in_locale_of_account
def recovery_code_used(account: Account, remaining: int) -> EmailMessage:
    """Return the notification of a used recovery code."""
    return EmailMessage(
        gettext("A recovery code was used to sign in"),
        (
            _hello(account),
            gettext("One of your recovery codes was used to sign in. Codes left: %(codes)s.", codes=number(remaining)),
            gettext(ALERT),
        ),
    )


@in_locale_of_account
def account_deletion_scheduled(account: Account, when: datetime, url: str) -> EmailMessage:
    """Return the email after a deletion was scheduled."""
    return EmailMessage(
        gettext("Your %(product)s account will be deleted", product=PRODUCT),
        (
            _hello(account),
            gettext(
                "Your account will be deleted on %(day)s. Until then, you can sign in and cancel the deletion.",
                day=long_date(when),
            ),
        ),
        (gettext("Keep account"), url),
    )


@in_locale_of_account
def account_deletion_canceled(account: Account) -> EmailMessage:
    """Return the notification of a canceled deletion."""
    return EmailMessage(
        gettext("The deletion of your %(product)s account was canceled", product=PRODUCT),
        (_hello(account), gettext("Your account will not be deleted."), gettext(ALERT)),
    )


@in_locale_of_account
def account_deleted(account: Account) -> EmailMessage:
    """Return the final email, after the deletion."""
    return EmailMessage(
        gettext("Your %(product)s account was deleted", product=PRODUCT),
        (
            _hello(account),
            gettext("Your account and the workspaces of which you were the only admin were deleted."),
        ),
        reason=gettext("You receive this final email because you requested the deletion."),
    )


def _hello(account: Account) -> str:
    return gettext("Hello %(name)s,", name=account.name)


def _linked_accounts(identities: Iterable[ExternalIdentity]) -> str:
    addresses = _addresses(identities)
    if not addresses:
        return gettext("Google accounts that can sign in to your account: none.")
    return gettext("Google accounts that can sign in to your account: %(emails)s.", emails=addresses)


def _addresses(identities: Iterable[ExternalIdentity]) -> str:
    return ", ".join(sorted(identity.email for identity in identities))


def _passkeys(passkeys: Iterable[Passkey]) -> str:
    names = _names(passkeys)
    return gettext("Passkeys: %(names)s.", names=names) if names else gettext("Passkeys: none.")


def _names(passkeys: Iterable[Passkey]) -> str:
    return ", ".join(sorted(passkey.name for passkey in passkeys))
