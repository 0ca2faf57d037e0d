"""`/account/second-factor`: set up, renew and turn off two-factor authentication."""

from typing import Any

import structlog
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.accounts.second_factor import (
    WrongCodeError,
    confirm_enrollment,
    count_recovery_codes,
    disable_second_factor,
    enrollment_uri,
    pending_secret,
    regenerate_recovery_codes,
    start_enrollment,
)
from cwz_web.imaging.barcodes import qr_png
from cwz_web.resources.application import SecondFactor
from cwz_web.resources.permissions import Permission
from cwz_web.views.account import ProofForm, reauthentication_error
from cwz_web.web.forms import Code, Filled, Form, empty_form, read_form
from cwz_web.web.request import Request

log = structlog.get_logger()

PAGE = "account/second_factor.jinja2"
CODES_PAGE = "account/recovery_codes.jinja2"


class FirstCodeForm(Form):
    """The first code of an authenticator app."""

    code: Code


@view_config(context=SecondFactor, request_method="GET", renderer=PAGE, permission=Permission.SIGNED_IN)
def second_factor_page(context: SecondFactor, request: Request) -> dict[str, Any]:
    """Show the status of two-factor authentication."""
    return _page(request, empty_form())


@view_config(
    context=SecondFactor,
    name="begin",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="reauthentication",
)
def begin(context: SecondFactor, request: Request) -> Any:
    """Start the enrollment of an authenticator app."""
    account = request.user.account
    if account.has_second_factor:
        return HTTPSeeOther("/account/second-factor")
    form = _read_proof(request)
    if form.value is None:
        return _again(request, form)
    start_enrollment(account, request.services.ring)
    return HTTPSeeOther("/account/second-factor")


@view_config(context=SecondFactor, name="qr.png", request_method="GET", permission=Permission.SIGNED_IN)
def qr(context: SecondFactor, request: Request) -> Response:
    """Return the QR code of an unfinished enrollment."""
    account = request.user.account
    secret = pending_secret(account, request.services.ring)
    if secret is None:
        raise HTTPNotFound
    return Response(qr_png(enrollment_uri(account, secret)), content_type="image/png")


@view_config(
    context=SecondFactor,
    name="confirm",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="second-factor",
)
def confirm(context: SecondFactor, request: Request) -> Any:
    """Complete the enrollment, and show the recovery codes once."""
    form = read_form(FirstCodeForm, request.POST)
    account = request.user.account
    if form.value is not None:
        try:
            codes = confirm_enrollment(request.db, account, form.value.code, request.services.ring)
        except WrongCodeError:
            form = form.with_error("code", "This code is not valid. Check your phone's clock and try the next code")
        else:
            log.info("second factor on", account=str(account.id), address=request.remote_addr)
            return _codes(request, codes)
    return _again(request, form)


@view_config(
    context=SecondFactor,
    name="codes",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="reauthentication",
)
def new_codes(context: SecondFactor, request: Request) -> Any:
    """Replace the recovery codes."""
    form = _read_proof(request)
    if form.value is None or not request.user.account.has_second_factor:
        return _again(request, form)
    return _codes(request, regenerate_recovery_codes(request.db, request.user.account))


@view_config(
    context=SecondFactor,
    name="off",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="reauthentication",
)
def off(context: SecondFactor, request: Request) -> Any:
    """Turn off two-factor authentication."""
    form = _read_proof(request)
    if form.value is None:
        return _again(request, form)
    disable_second_factor(request.db, request.user.account)
    log.info("second factor off", account=str(request.user.account.id), address=request.remote_addr)
    return HTTPSeeOther("/account/second-factor")


def _read_proof(request: Request) -> Filled[ProofForm]:
    form = read_form(ProofForm, request.POST)
    error = reauthentication_error(request, form.value.proof) if form.value else None
    return form.with_error("proof", error) if error else form


def _codes(request: Request, codes: list[str]) -> dict[str, Any]:
    request.override_renderer = CODES_PAGE
    return {"codes": codes}


def _again(request: Request, form: Filled[Any]) -> dict[str, Any]:
    request.response.status = 422
    return _page(request, form)


def _page(request: Request, form: Filled[Any]) -> dict[str, Any]:
    person = request.user
    return {
        "form": form,
        "account": person.account,
        "secret": pending_secret(person.account, request.services.ring),
        "codes_left": count_recovery_codes(request.db, person.account),
        "required_by": [access for access in person.workspaces if person.lacks_second_factor(access)],
    }
