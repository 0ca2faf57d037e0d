"""The second factor: time-based one-time passwords (TOTP, RFC 6238) and recovery codes.

The TOTP secret is stored encrypted, recovery codes as digests. Each code is valid once.
"""

import base64
import hmac
import secrets
from datetime import UTC, datetime

import pyotp
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from cwz_web.accounts import emails
from cwz_web.accounts.models import Account, RecoveryCode
from cwz_web.accounts.tokens import digest
from cwz_web.crypto import KeyRing
from cwz_web.notify.emails import PRODUCT
from cwz_web.notify.tasks import enqueue_email

STEP_SECONDS = 30
# Accept the previous and the next code as well, for clocks that differ.
TOLERANCE_STEPS = 1
RECOVERY_CODE_COUNT = 10


class WrongCodeError(Exception):
    """The code is wrong, expired, or has been used before."""


def start_enrollment(account: Account, ring: KeyRing) -> None:
    """Create a secret, which becomes active with `confirm_enrollment`."""
    account.encrypted_totp_secret = ring.encrypt(pyotp.random_base32(), *_context(account))
    account.totp_confirmed_at = account.totp_last_step = None


def pending_secret(account: Account, ring: KeyRing) -> str | None:
    """Return the secret of an unfinished enrollment, or None; an active secret is never shown."""
    return None if account.has_second_factor or account.encrypted_totp_secret is None else _secret(account, ring)


def enrollment_uri(account: Account, secret: str) -> str:
    """Return the content of the QR code (the `otpauth` scheme of authenticator apps)."""
    return pyotp.TOTP(secret).provisioning_uri(name=account.email, issuer_name=PRODUCT)


def confirm_enrollment(db: Session, account: Account, code: str, ring: KeyRing) -> list[str]:
    """Activate the second factor with a first code.

    Args:
        db: The database session.
        account: The account that has started the enrollment.
        code: The first code of the authenticator.
        ring: Decrypts the shared secret.

    Returns:
        The recovery codes, which cannot be shown again.

    Raises:
        WrongCodeError: The code is wrong, or no enrollment has been started.
    """
    if account.has_second_factor or account.encrypted_totp_secret is None:
        raise WrongCodeError
    _consume_code(account, code, ring)
    account.totp_confirmed_at = datetime.now(UTC)
    enqueue_email(db, account.email, emails.second_factor(account, on=True))
    return regenerate_recovery_codes(db, account)


def regenerate_recovery_codes(db: Session, account: Account) -> list[str]:
    """Replace the recovery codes, and return the new ones.

    Each has 120 random bits, for which an unsalted SHA-256 is sufficient (OWASP ASVS 5.0, 6.5.2).
    """
    plain = [base64.b32encode(secrets.token_bytes(15)).decode().lower() for _ in range(RECOVERY_CODE_COUNT)]
    db.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account.id))
    db.add_all(RecoveryCode(account_id=account.id, digest=digest(code)) for code in plain)
    return ["-".join(code[i : i + 4] for i in range(0, 24, 4)) for code in plain]


def check_second_factor(db: Session, account: Account, code: str, ring: KeyRing) -> None:
    """Verify and consume an authentication code or a recovery code.

    Args:
        db: The database session.
        account: The account that signs in.
        code: The code, as entered.
        ring: Decrypts the shared secret.

    Raises:
        WrongCodeError: The code is wrong, expired, or has been used before.
    """
    db.refresh(account, with_for_update=True)  # serializes attempts, so that a code is valid once
    typed = "".join(code.split()).replace("-", "").lower()
    if not account.has_second_factor:
        raise WrongCodeError
    if typed.isdecimal():
        _consume_code(account, typed, ring)
        return
    used = db.execute(
        delete(RecoveryCode).where(RecoveryCode.account_id == account.id, RecoveryCode.digest == digest(typed))
    )
    if not used.rowcount:  # type: ignore[attr-defined]
        raise WrongCodeError
    enqueue_email(db, account.email, emails.recovery_code_used(account, count_recovery_codes(db, account)))


def count_recovery_codes(db: Session, account: Account) -> int:
    """Return the number of unused recovery codes."""
    return db.scalar(select(func.count()).where(RecoveryCode.account_id == account.id)) or 0


def reencrypt_second_factor(account: Account, ring: KeyRing) -> bool:
    """Encrypt the secret with the newest key. Return whether it used another key before."""
    if account.encrypted_totp_secret is None or ring.is_newest(account.encrypted_totp_secret):
        return False
    account.encrypted_totp_secret = ring.encrypt(_secret(account, ring), *_context(account))
    return True


def disable_second_factor(db: Session, account: Account) -> None:
    """Turn off the second factor, delete its codes, and notify the owner."""
    account.encrypted_totp_secret = account.totp_confirmed_at = account.totp_last_step = None
    db.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account.id))
    enqueue_email(db, account.email, emails.second_factor(account, on=False))


def _consume_code(account: Account, code: str, ring: KeyRing) -> None:
    totp = pyotp.TOTP(_secret(account, ring), interval=STEP_SECONDS)
    now = int(datetime.now(UTC).timestamp()) // STEP_SECONDS
    for step in range(now - TOLERANCE_STEPS, now + TOLERANCE_STEPS + 1):
        unused = account.totp_last_step is None or step > account.totp_last_step
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.strip().encode()) and unused:
            account.totp_last_step = step
            return
    raise WrongCodeError


def _secret(account: Account, ring: KeyRing) -> str:
    assert account.encrypted_totp_secret is not None
    return ring.decrypt(account.encrypted_totp_secret, *_context(account))


def _context(account: Account) -> tuple[str, ...]:
    return ("accounts", str(account.id), "totp")
