"""Notifications about publications: webhooks once each, and an email an hour to those who can decide."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.notifications import APPROVERS
from cwz_web.notify.models import WebhookDelivery
from cwz_web.resources.permissions import ROLE_PERMISSIONS, Permission
from cwz_web.workspaces.models import Role
from tests.factories import Factory
from tests.mailbox import Mailbox, text_of
from tests.unit.campaigns.test_publications import ROWS, Setting


def deliveries(setting: Setting) -> list[tuple[str, int]]:
    """Return the events that webhooks were notified of, with the numbers of the publications."""
    with setting.make.database.transaction(setting.space.id) as db:
        bodies = db.scalars(select(WebhookDelivery.body).order_by(WebhookDelivery.id))
        messages = [json.loads(body) for body in bodies]
    publications = [each for each in messages if each["type"].startswith("publication.")]
    return [(each["type"], each["data"]["number"]) for each in publications]


def test_held_publication_is_notified_once(make: Factory) -> None:
    setting = Setting(make, is_active=True)
    make.webhook(setting.space)
    setting.settle()
    setting.advance()
    assert deliveries(setting) == [("publication.held", 1)]


def test_publication_without_a_decision_is_ready_and_published_once(make: Factory) -> None:
    setting = Setting(make, is_active=True, policy={"auto_publish": True, "max_changed_percent": 100})
    make.webhook(setting.space)
    setting.settle()
    setting.advance()
    assert deliveries(setting) == [("publication.ready", 1), ("publication.published", 1)]
    setting.import_rows(ROWS.replace(b"Red", b"Rose"))
    setting.settle()
    assert deliveries(setting)[2:] == [("publication.ready", 2), ("publication.published", 2)]


def test_members_who_can_decide_are_emailed_in_their_language(make: Factory, mailbox: Mailbox) -> None:
    setting = Setting(make, is_active=True)
    admin, user = make.member(setting.space), make.member(setting.space, Role.USER, locale="de")
    support = make.member(setting.space, Role.SUPPORT)
    quiet = make.member(setting.space, unsubscribed_topics=["publications"])
    setting.settle()
    recipients = [email["To"] for email in mailbox.emails()]
    assert sorted(recipients) == sorted([admin.email, user.email])
    assert support.email not in recipients
    assert quiet.email not in recipients
    email = mailbox.last(admin.email)
    assert "a publication of Ads waits for a decision" in email["Subject"]
    text = text_of(email)
    assert "Rows: 4. New: 4. Changed: 0. Removed: 0." in text
    assert "This campaign is published only after a decision." in text
    [publication] = setting.publications()
    path = f"/w/{setting.space.slug}/campaigns/{setting.campaign.id}/publications/{publication.id}"
    assert path in text
    assert "wartet auf eine Entscheidung" in mailbox.last(user.email)["Subject"]


def test_a_campaign_sends_at_most_one_email_an_hour(make: Factory, mailbox: Mailbox) -> None:
    setting = Setting(make, is_active=True)
    make.webhook(setting.space)
    make.member(setting.space)
    setting.settle()
    setting.import_rows(ROWS.replace(b"Red", b"Rose"))
    setting.settle()
    assert deliveries(setting) == [("publication.held", 1), ("publication.held", 2)]
    assert len(mailbox.emails()) == 1
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        assert campaign.notified_at
        campaign.notified_at -= timedelta(minutes=61)
    setting.import_rows(ROWS.replace(b"Red", b"Ruby"))
    setting.settle()
    assert len(mailbox.emails()) == 2


@pytest.mark.parametrize("role", Role)
def test_approvers_are_the_roles_with_the_permission(role: Role) -> None:
    assert (role in APPROVERS) == (Permission.CAMPAIGN_APPROVE in ROLE_PERMISSIONS[role])
