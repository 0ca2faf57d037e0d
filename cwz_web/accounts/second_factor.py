"""The second factor: time-based codes (TOTP, RFC 6238) from a phone, and recovery codes for when it is lost.

The shared secret is kept encrypted. A code counts once, and so does each recovery code. Passkeys will be another kind
of second factor beside this one.
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
from cwz_web.notify.tasks import queue_email

STEP_SECONDS = 30
# Clocks differ: the code before and the one after count as well.
STEPS_AROUND = 1
RECOVERY_CODES = 10


class WrongCodeError(Exception):
    """The code is wrong, too old, or was used before."""


def begin_enrolment(account: Account, ring: KeyRing) -> None:
    """Make a secret that counts once a code of it was shown (`confirm_enrolment`)."""
    account.totp_envelope = ring.encrypt(pyotp.random_base32(), *_context(account))
    account.totp_confirmed_at = account.totp_last_step = None


def shared_secret(account: Account, ring: KeyRing) -> str | None:
    """The secret of an enrolment that is not finished, for typing it in; a finished one is never shown again."""
    return None if account.has_second_factor or account.totp_envelope is None else _secret(account, ring)


def enrolment_uri(account: Account, secret: str) -> str:
    """What the QR code says (the `otpauth` scheme that authenticator apps read)."""
    return pyotp.TOTP(secret).provisioning_uri(name=account.email, issuer_name=PRODUCT)


def confirm_enrolment(db: Session, account: Account, code: str, ring: KeyRing) -> list[str]:
    """Finish the enrolment with a first code. Returns recovery codes, to be shown this once. Raises WrongCodeError."""
    if account.has_second_factor or account.totp_envelope is None:
        raise WrongCodeError
    _take_code(account, code, ring)
    account.totp_confirmed_at = datetime.now(UTC)
    queue_email(db, account.email, emails.second_factor(account, on=True))
    return renew_recovery_codes(db, account)


def renew_recovery_codes(db: Session, account: Account) -> list[str]:
    """New recovery codes in place of the old ones.

    Each has 120 random bits: enough for the database to keep a plain SHA-256 of it (OWASP ASVS 5.0, 6.5.2).
    """
    plain = [base64.b32encode(secrets.token_bytes(15)).decode().lower() for _ in range(RECOVERY_CODES)]
    db.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account.id))
    db.add_all(RecoveryCode(account_id=account.id, digest=digest(code)) for code in plain)
    return ["-".join(code[i : i + 4] for i in range(0, 24, 4)) for code in plain]


def check_second_factor(db: Session, account: Account, code: str, ring: KeyRing) -> None:
    """Take a code, or a recovery code, whichever was typed. Raises WrongCodeError."""
    db.refresh(account, with_for_update=True)  # one at a time: a code counts once
    typed = "".join(code.split()).replace("-", "").lower()
    if not account.has_second_factor:
        raise WrongCodeError
    if typed.isdecimal():
        _take_code(account, typed, ring)
        return
    used = db.execute(
        delete(RecoveryCode).where(RecoveryCode.account_id == account.id, RecoveryCode.digest == digest(typed))
    )
    if not used.rowcount:  # type: ignore[attr-defined]
        raise WrongCodeError
    queue_email(db, account.email, emails.recovery_code_used(account, recovery_codes_left(db, account)))


def recovery_codes_left(db: Session, account: Account) -> int:
    """How many recovery codes were not used yet."""
    return db.scalar(select(func.count()).where(RecoveryCode.account_id == account.id)) or 0


def reseal_second_factor(account: Account, ring: KeyRing) -> bool:
    """Encrypt the shared secret with the newest key. Returns whether that changed anything."""
    if account.totp_envelope is None or ring.is_newest(account.totp_envelope):
        return False
    account.totp_envelope = ring.encrypt(_secret(account, ring), *_context(account))
    return True


def turn_off(db: Session, account: Account) -> None:
    """Sign in without a code again."""
    account.totp_envelope = account.totp_confirmed_at = account.totp_last_step = None
    db.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account.id))
    queue_email(db, account.email, emails.second_factor(account, on=False))


def _take_code(account: Account, code: str, ring: KeyRing) -> None:
    totp = pyotp.TOTP(_secret(account, ring), interval=STEP_SECONDS)
    now = int(datetime.now(UTC).timestamp()) // STEP_SECONDS
    for step in range(now - STEPS_AROUND, now + STEPS_AROUND + 1):
        unused = account.totp_last_step is None or step > account.totp_last_step
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.strip().encode()) and unused:
            account.totp_last_step = step
            return
    raise WrongCodeError


def _secret(account: Account, ring: KeyRing) -> str:
    assert account.totp_envelope is not None
    return ring.decrypt(account.totp_envelope, *_context(account))


def _context(account: Account) -> tuple[str, ...]:
    return ("accounts", str(account.id), "totp")
