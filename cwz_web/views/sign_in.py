"""Signing in and out."""

from typing import Annotated, Any

from pydantic import Field
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.accounts.sessions import SignInRefused, end_session, sign_in
from cwz_web.demo import demo_password
from cwz_web.demo.contents import EMAIL
from cwz_web.resources import Permission, Root
from cwz_web.security import set_session_cookie
from cwz_web.web.forms import Filled, Form, empty_form, read_form
from cwz_web.web.paths import safe_next

PAGE = "sign_in.jinja2"


class SignInForm(Form):
    """Address and password."""

    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: Annotated[str, Field(min_length=1, max_length=256)]


@view_config(context=Root, name="signin", request_method="GET", renderer=PAGE, permission=NO_PERMISSION_REQUIRED)
def sign_in_page(context: Root, request: Request) -> Any:
    """The form; whoever is signed in needs none."""
    if request.identity is not None:
        return HTTPSeeOther(safe_next(request.params.get("next", "/")))
    return _page(request, empty_form())


@view_config(context=Root, name="signin", request_method="POST", renderer=PAGE, permission=NO_PERMISSION_REQUIRED)
def sign_in_form(context: Root, request: Request) -> Any:
    """Start a session, or say that address and password do not belong together."""
    form = read_form(SignInForm, request.POST)
    if form.value is not None:
        settings = request.services.settings
        try:
            token = sign_in(
                request.db,
                email=form.value.email,
                password=form.value.password,
                pepper=settings.password_pepper.get_secret_value(),
                secret=settings.session_secret.get_secret_value(),
                address=request.client_addr or "",
                user_agent=request.user_agent or "",
            )
        except SignInRefused:
            form = form.with_error("password", "This e-mail address and password do not belong together")
        else:
            response = HTTPSeeOther(safe_next(request.POST.get("next", "/")))
            set_session_cookie(request, response, token)
            return response
    request.response.status = 422
    return _page(request, form)


@view_config(context=Root, name="signout", request_method="POST", permission=Permission.SIGNED_IN)
def sign_out(context: Root, request: Request) -> Response:
    """End this browser's session."""
    end_session(request.db, request.identity.session_id)
    response = HTTPSeeOther("/signin")
    set_session_cookie(request, response, None)
    return response


def _page(request: Request, form: Filled[SignInForm]) -> dict[str, Any]:
    settings = request.services.settings
    demo = (EMAIL, demo_password(settings.signing_secret.get_secret_value())) if settings.demo else None
    return {"form": form, "next": safe_next(request.params.get("next", "/")), "demo": demo}
