"""`/account/second-factor`: set up, renew and turn off two-factor authentication."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import structlog
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.accounts.second_factor import (
    RECOVERY_CODE_COUNT,
    WrongCodeError,
    confirm_enrollment,
    count_recovery_codes,
    disable_second_factor,
    enrollment_uri,
    pending_secret,
    regenerate_recovery_codes,
    start_enrollment,
)
from cwz_web.i18n import gettext
from cwz_web.imaging.barcodes import qr_png
from cwz_web.resources.application import SecondFactor
from cwz_web.resources.permissions import Permission
from cwz_web.views.account import ProofForm, require_identity
from cwz_web.web.forms import Code, FieldError, Form, SubmittedForm, TypedPassword, empty_form, form_view
from cwz_web.web.request import Request

log = structlog.get_logger()

PAGE = "account/second_factor.jinja2"
CODES_PAGE = "account/recovery_codes.jinja2"
PATH = "/account/second-factor"


class FirstCodeForm(Form):
    """The first code of an authenticator app."""

    code: Code


class NewCodesForm(Form):
    """The password, to replace the recovery codes."""

    codes_password: TypedPassword | None = None


class TurnOffForm(Form):
    """The password, to turn off two-factor authentication."""

    off_password: TypedPassword | None = None


SecondFactorForm: TypeAlias = (
    SubmittedForm[ProofForm] | SubmittedForm[FirstCodeForm] | SubmittedForm[NewCodesForm] | SubmittedForm[TurnOffForm]
)


@dataclass(frozen=True)
class SecondFactorPage:
    """The view model of account/second_factor.jinja2.

    Attributes:
        has_password: Whether to ask for the password; an account without one signs in with Google again.
        enabled_at: When two-factor authentication was turned on, or None if it is off.
        secret: The secret of an unfinished enrollment, or None.
        codes_left: The number of unused recovery codes.
        codes_total: The number of recovery codes that are generated at a time.
        required_by: The names of the workspaces that are closed to the user until it is on.
    """

    form: SecondFactorForm
    has_password: bool
    enabled_at: datetime | None
    secret: str | None
    codes_left: int
    codes_total: int
    required_by: list[str]


@dataclass(frozen=True)
class RecoveryCodesPage:
    """The view model of account/recovery_codes.jinja2."""

    codes: list[str]


def _page(context: SecondFactor, request: Request, form: SecondFactorForm) -> SecondFactorPage:
    user = request.user
    account = user.account
    return SecondFactorPage(
        form=form,
        has_password=account.password_hash is not None,
        enabled_at=account.totp_confirmed_at if account.has_second_factor else None,
        secret=pending_secret(account, request.services.ring),
        codes_left=count_recovery_codes(request.db, account),
        codes_total=RECOVERY_CODE_COUNT,
        required_by=[access.name for access in user.workspaces if user.lacks_second_factor(access)],
    )


@view_config(context=SecondFactor, request_method="GET", renderer=PAGE, permission=Permission.SIGNED_IN)
def second_factor_page(context: SecondFactor, request: Request) -> SecondFactorPage:
    """Show the status of two-factor authentication."""
    return _page(context, request, empty_form())


@form_view(
    ProofForm,
    _page,
    context=SecondFactor,
    name="begin",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="reauthentication",
    requires_recent_auth="view",
)
def start_setup(context: SecondFactor, request: Request, form: ProofForm) -> Response:
    """Start the enrollment of an authenticator app."""
    account = request.user.account
    if not account.has_second_factor:
        require_identity(request, "proof", form.proof)
        start_enrollment(account, request.services.ring)
    return HTTPSeeOther(PATH)


@view_config(context=SecondFactor, name="qr.png", request_method="GET", permission=Permission.SIGNED_IN)
def qr_code(context: SecondFactor, request: Request) -> Response:
    """Return the QR code of an unfinished enrollment."""
    account = request.user.account
    secret = pending_secret(account, request.services.ring)
    if secret is None:
        raise HTTPNotFound
    return Response(qr_png(enrollment_uri(account, secret)), content_type="image/png")


@form_view(
    FirstCodeForm,
    _page,
    context=SecondFactor,
    name="confirm",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="enrollment",
    requires_recent_auth=True,
)
def confirm_setup(context: SecondFactor, request: Request, form: FirstCodeForm) -> RecoveryCodesPage:
    """Complete the enrollment, and show the recovery codes once."""
    account = request.user.account
    try:
        codes = confirm_enrollment(request.db, account, form.code, request.services.ring)
    except WrongCodeError:
        message = gettext("This code is not valid. Check that your phone's clock is correct, and enter the next code")
        raise FieldError("code", message) from None
    log.info("second factor on", account=str(account.id), ip_address=request.remote_addr)
    return _recovery_codes_page(request, codes)


@form_view(
    NewCodesForm,
    _page,
    context=SecondFactor,
    name="codes",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="reauthentication",
    requires_recent_auth="view",
)
def replace_recovery_codes(context: SecondFactor, request: Request, form: NewCodesForm) -> RecoveryCodesPage | Response:
    """Replace the recovery codes, and show the new ones once."""
    account = request.user.account
    if not account.has_second_factor:
        return HTTPSeeOther(PATH)
    require_identity(request, "codes_password", form.codes_password)
    return _recovery_codes_page(request, regenerate_recovery_codes(request.db, account))


@form_view(
    TurnOffForm,
    _page,
    context=SecondFactor,
    name="off",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="reauthentication",
    requires_recent_auth="view",
)
def turn_off(context: SecondFactor, request: Request, form: TurnOffForm) -> Response:
    """Turn off two-factor authentication."""
    account = request.user.account
    if not account.has_second_factor:
        return HTTPSeeOther(PATH)
    require_identity(request, "off_password", form.off_password)
    disable_second_factor(request.db, account)
    log.info("second factor off", account=str(account.id), ip_address=request.remote_addr)
    return HTTPSeeOther(PATH)


def _recovery_codes_page(request: Request, codes: list[str]) -> RecoveryCodesPage:
    request.override_renderer = CODES_PAGE
    return RecoveryCodesPage(codes)
