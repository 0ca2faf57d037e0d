"""What we write to people about their account."""

from datetime import datetime

from cwz_web.accounts.models import Account
from cwz_web.notify.emails import PRODUCT, EmailMessage

NOT_YOU = "If this was not you, somebody typed your address by mistake, and you can ignore this mail."
ALARM = 'If this was not you, choose "Forgot your password?" on the sign-in page at once: that signs everybody out.'


def verification(url: str) -> EmailMessage:
    """To somebody who signed up."""
    return EmailMessage(
        f"Confirm your email address for {PRODUCT}",
        (f"Welcome to {PRODUCT}. Confirm that this address is yours, within 24 hours, and you can begin.", NOT_YOU),
        ("Confirm my address", url),
        "You get this mail because somebody signed up with your address.",
    )


def already_a_member(account: Account, url: str) -> EmailMessage:
    """To the owner of an address with which somebody signed up again."""
    return EmailMessage(
        f"You have a {PRODUCT} account already",
        (
            f"Hello {account.name},",
            "Somebody, probably you, signed up with this address. It has an account already: nothing was changed.",
            "Sign in with it. If you forgot the password, the sign-in page helps.",
        ),
        ("Sign in", url),
    )


def reset(account: Account, url: str) -> EmailMessage:
    """To somebody who forgot the password."""
    return EmailMessage(
        f"A new password for {PRODUCT}",
        (
            f"Hello {account.name},",
            "You asked for a new password. This link works once, within an hour, until you next sign in.",
            NOT_YOU,
        ),
        ("Choose a new password", url),
    )


def reset_by_google(account: Account, url: str) -> EmailMessage:
    """To somebody who asked for a new password but has none, since they come with Google."""
    return EmailMessage(
        f"You sign in to {PRODUCT} with Google",
        (
            f"Hello {account.name},",
            "You asked for a new password. Your account has none: choose Continue with Google on the sign-in page.",
            "Once signed in, you can set a password on your account's page.",
        ),
        ("Sign in", url),
    )


def password_changed(account: Account) -> EmailMessage:
    """A notice."""
    return EmailMessage(
        f"Your {PRODUCT} password was changed",
        (f"Hello {account.name},", "Your password was changed, and every other browser was signed out.", ALARM),
    )


def confirm_email(account: Account, url: str) -> EmailMessage:
    """To a new address."""
    return EmailMessage(
        f"Confirm your new email address for {PRODUCT}",
        (f"Hello {account.name},", "Confirm that this is your new address, within 24 hours.", NOT_YOU),
        ("Confirm my new address", url),
    )


def email_changed(account: Account, new: str) -> EmailMessage:
    """A notice to the old address."""
    return EmailMessage(
        f"Your {PRODUCT} address was changed",
        (
            f"Hello {account.name},",
            f"Your account is now at {new}. This is the last mail to this address.",
            "If this was not you, somebody else is in your account: ask whoever runs this site for help at once.",
        ),
    )


def google_linked(account: Account, email: str) -> EmailMessage:
    """A notice."""
    return EmailMessage(
        f"Google was linked to your {PRODUCT} account",
        (f"Hello {account.name},", f"The Google account {email} can now sign in as you.", ALARM),
    )


def second_factor(account: Account, *, on: bool) -> EmailMessage:
    """A notice."""
    done = "Signing in now takes a code from your phone as well." if on else "Signing in no longer takes a code."
    return EmailMessage(
        f"Sign-in with a code is now {'on' if on else 'off'}",
        (f"Hello {account.name},", done, ALARM),
    )


def recovery_code_used(account: Account, left: int) -> EmailMessage:
    """A notice."""
    return EmailMessage(
        "A recovery code was used to sign in",
        (f"Hello {account.name},", f"Somebody signed in with one of your recovery codes. {left} are left.", ALARM),
    )


def deletion_begun(account: Account, when: datetime, url: str) -> EmailMessage:
    """To somebody who wants their account deleted."""
    return EmailMessage(
        f"Your {PRODUCT} account will be deleted",
        (
            f"Hello {account.name},",
            f"Your account will be deleted on {when:%-d %B %Y}. Until then you can sign in and keep it.",
        ),
        ("Keep my account", url),
    )


def deletion_cancelled(account: Account) -> EmailMessage:
    """A notice."""
    return EmailMessage(
        f"Your {PRODUCT} account stays", (f"Hello {account.name},", "Your account will not be deleted.", ALARM)
    )


def deletion_done(name: str) -> EmailMessage:
    """The last mail."""
    return EmailMessage(
        f"Your {PRODUCT} account was deleted",
        (f"Hello {name},", "Your account and everything that belonged to you alone were deleted. Farewell."),
        reason="You get this last mail because you asked for the deletion.",
    )
