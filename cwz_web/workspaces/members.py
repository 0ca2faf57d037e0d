"""Members of a workspace. The last admin cannot leave, be removed or be demoted."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from cwz_web.accounts.models import Account
from cwz_web.db.pagination import Page, Sort, count_rows, with_reverse
from cwz_web.i18n import gettext, gettext_noop, use_locale
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.tasks import enqueue_email
from cwz_web.workspaces.models import Membership, Role, Workspace
from cwz_web.workspaces.removed_members import remember_removal

MEMBER_PAGE = 50
MEMBER_SORTS = with_reverse(
    {
        "name": Sort(
            gettext_noop("Name"),
            func.lower(Account.name),
            is_descending=False,
            reverse_label=gettext_noop("Name, Z to A"),
        ),
        "joined": Sort(
            gettext_noop("Newest first"), Membership.created_at.expression, reverse_label=gettext_noop("Oldest first")
        ),
        # In the order of Role.
        "role": Sort(
            gettext_noop("Admins first"),
            Membership.role.expression,
            is_descending=False,
            reverse_label=gettext_noop("Users first"),
        ),
    }
)


class LastAdminError(Exception):
    """The workspace would have no admin."""


class Member(NamedTuple):
    """A membership with its account."""

    membership: Membership
    account: Account

    @property
    def role(self) -> Role:
        """Return the role."""
        return Role(self.membership.role)


def find_members(
    db: Session,
    workspace_id: UUID,
    *,
    search: str = "",
    role: Role | None = None,
    sort: str = "name",
    after: UUID | None = None,
) -> Page[Member]:
    """Return a page of members.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        search: Only members with this in their name or email address, ignoring case.
        role: Only members with this role.
        sort: The order, one of MEMBER_SORTS.
        after: The account that the previous page ended with.
    """
    query = _members(workspace_id)
    if search:
        query = query.where(or_(*(text.icontains(search, autoescape=True) for text in (Account.name, Account.email))))
    if role:
        query = query.where(Membership.role == role)
    count, order = count_rows(db, query), MEMBER_SORTS[sort]
    keys = order.keys(Account.__table__.c.id)
    last = None
    if after:
        last = db.execute(_members(workspace_id).with_only_columns(*keys).where(Account.id == after)).first()
    rows = db.execute(order.apply(query, keys, last).limit(MEMBER_PAGE + 1))
    members = [Member(*row) for row in rows]
    is_last = len(members) <= MEMBER_PAGE
    return Page(members[:MEMBER_PAGE], count, None if is_last else members[MEMBER_PAGE - 1].account.id)


def list_members(db: Session, workspace_id: UUID) -> list[Member]:
    """Return the members of a workspace, by name."""
    rows = db.execute(_members(workspace_id).order_by(func.lower(Account.name), Account.id))
    return [Member(*row) for row in rows]


def email_admins(db: Session, workspace_id: UUID, write: Callable[[], EmailMessage]) -> None:
    """Email every admin who has not unsubscribed from the topic, after the transaction has committed.

    Args:
        db: A transaction.
        workspace_id: The workspace.
        write: Returns the message, in the current locale.
    """
    email_members(db, workspace_id, [Role.ADMIN], write)


def email_members(db: Session, workspace_id: UUID, roles: Iterable[Role], write: Callable[[], EmailMessage]) -> None:
    """Email every member with one of some roles, as email_admins does."""
    members = (
        select(Account)
        .join(Membership, Membership.account_id == Account.id)
        .where(Membership.workspace_id == workspace_id, Membership.role.in_(list(roles)))
    )
    for account in db.scalars(members):
        email_member(db, account, write)


def email_member(db: Session, account: Account, write: Callable[[], EmailMessage]) -> None:
    """Email a user, unless they have unsubscribed from the message's topic.

    Args:
        db: A transaction.
        account: The user.
        write: Returns the message, in the current locale.
    """
    with use_locale(account.locale):
        message = write()
    if message.topic not in account.unsubscribed_topics:
        enqueue_email(db, account.email, replace(message, account=str(account.id)))


def find_member(db: Session, workspace_id: UUID, account_id: UUID) -> Member | None:
    """Return a member, or None."""
    row = db.execute(_members(workspace_id).where(Membership.account_id == account_id)).one_or_none()
    return Member(*row) if row else None


def name_creators(db: Session, workspace_id: UUID, account_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return the names of accounts that created something, with a note for those that are no longer members."""
    members = {member.account.id for member in list_members(db, workspace_id)}
    accounts = db.scalars(select(Account).where(Account.id.in_(list(account_ids))))
    return {
        account.id: account.name
        if account.id in members
        else gettext("%(name)s (no longer a member)", name=account.name)
        for account in accounts
    }


def change_role(db: Session, membership: Membership, role: Role) -> None:
    """Change a member's role. Raises LastAdminError, or StaleDataError if the member is gone."""
    if role is not Role.ADMIN:
        _require_other_admin(db, membership)
    membership.role = role
    db.flush()


def remove_member(db: Session, membership: Membership) -> None:
    """Remove a member, who does not join again without an invitation.

    Raises:
        LastAdminError: The workspace would have no admin.
        StaleDataError: The member is gone.
    """
    remember_removal(db, membership.workspace_id, db.get_one(Account, membership.account_id))
    end_membership(db, membership)


def end_membership(db: Session, membership: Membership) -> None:
    """End a membership. Raises LastAdminError, or StaleDataError if the member is gone."""
    _require_other_admin(db, membership)
    db.delete(membership)
    db.flush()


def admin_reason(workspace: str) -> str:
    """Return why an admin of a workspace receives an email."""
    return gettext("You receive this email because you are an admin of %(workspace)s.", workspace=workspace)


def keys_of_former_member(workspace: str, member: str, keys: list[str], url: str) -> EmailMessage:
    """Return the email about the API keys of a member who left or was removed."""
    return EmailMessage(
        gettext("%(name)s is no longer a member of %(workspace)s: check API keys", name=member, workspace=workspace),
        (
            gettext(
                "%(name)s created these API keys, which remain valid: %(keys)s.", name=member, keys=", ".join(keys)
            ),
            gettext("API keys belong to the workspace. If a copy may be outside of it, rotate or revoke the key."),
        ),
        (gettext("View API keys"), url),
        admin_reason(workspace),
    )


def _members(workspace_id: UUID) -> Select[Membership, Account]:
    return (
        select(Membership, Account)
        .join(Account, Account.id == Membership.account_id)
        .where(Membership.workspace_id == workspace_id)
    )


def _require_other_admin(db: Session, membership: Membership) -> None:
    # The lock serializes two admins who demote each other at the same time.
    db.execute(select(Workspace.id).where(Workspace.id == membership.workspace_id).with_for_update())
    other_admins = select(func.count()).where(
        Membership.workspace_id == membership.workspace_id,
        Membership.role == Role.ADMIN,
        Membership.account_id != membership.account_id,
    )
    try:
        db.refresh(membership)
    except InvalidRequestError:  # the member left or was removed meanwhile
        raise StaleDataError("the membership is gone") from None
    if membership.role == Role.ADMIN and not db.scalar(other_admins):
        raise LastAdminError
