"""Planning: changes of a feed or a joined one give what planning all rows again would give."""

import random
from typing import Any

from sqlalchemy import select

from cwz_web.campaigns.editing import create_campaign, save_rules
from cwz_web.campaigns.joins import Join, find_join_findings
from cwz_web.campaigns.models import Campaign, CampaignRow
from cwz_web.campaigns.planning import is_planned, plan_rows
from cwz_web.campaigns.rules import Design, DesignRule
from cwz_web.feeds.models import Feed
from cwz_web.feeds.row_writes import delete_items, put_items
from cwz_web.imaging.encoders import Output
from cwz_web.runs.selection import RowSelection
from tests.factories import Factory

ROWS = b"sku,title,brand,price\n1,Red,Acme,10\n2,Blue,Zenith,20\n3,Green,Acme,30\n4,Gray,Other,40\n"
STOCK = b"sku,quantity\n1,0\n2,7\n3,9\n"


def rules(*conditions: str) -> list[DesignRule]:
    return [
        DesignRule(number=number, name=f"Rule {number}", condition=condition, designs=[Design(number=number)])
        for number, condition in enumerate((*conditions, ""), start=1)
    ]


class Plan:
    """A campaign over a feed, which may be joined with another one."""

    def __init__(self, make: Factory, *conditions: str, join: bytes = b"", **settings: Any) -> None:
        self.make, self.space = make, make.workspace()
        self.feed, joins = make.feed(self.space, ROWS), []
        if join:
            self.joined = make.feed(self.space, join, name="Stock")
            joins = [Join(feed=self.joined.id, name="stock").model_dump(mode="json")]
        with make.database.transaction(self.space.id) as db:
            feed = db.get_one(Feed, (self.space.id, self.feed.id))
            self.campaign = create_campaign(
                db, feed, name="Ads", rules=rules(*conditions), outputs=[Output()], joins=joins, **settings
            )

    def plan(self) -> dict[str, list[int]]:
        """Plan the campaign, and return the designs of its rows by key."""
        with self.make.database.transaction(self.space.id) as db:
            self.campaign = db.get_one(Campaign, (self.space.id, self.campaign.id))
            plan_rows(db, self.campaign)
            assert is_planned(db, self.campaign)
            rows = select(CampaignRow).where(CampaignRow.campaign_id == self.campaign.id).order_by(CampaignRow.key)
            found = {row.key: row.designs for row in db.scalars(rows)}
        counted = {tuple(designs): count for designs, count in self.campaign.counts}
        assert counted == {key: list(map(tuple, found.values())).count(key) for key in set(map(tuple, found.values()))}
        return found


def test_changed_rows_are_planned_again(make: Factory) -> None:
    plan = Plan(make, 'brand == "Acme"', "price > 30")
    assert plan.plan() == {"1": [1], "2": [3], "3": [1], "4": [2]}
    make.import_rows(
        plan.feed, ROWS.replace(b"Blue,Zenith", b"Blue,Acme").replace(b"4,Gray,Other,40\n", b"5,New,X,1\n")
    )
    assert plan.plan() == {"1": [1], "2": [1], "3": [1], "5": [3]}
    assert plan.campaign.plan == 2
    plan.plan()
    assert plan.campaign.plan == 2


def test_random_changes_give_the_same_as_planning_all_rows(make: Factory) -> None:
    plan = Plan(make, 'brand == "Acme" && stock_quantity > 0', "empty(stock_quantity)", join=STOCK)
    assert plan.plan() == {"1": [3], "2": [3], "3": [1], "4": [2]}
    chance = random.Random(7)
    for _ in range(12):
        feed, name, value = chance.choice(
            [
                (plan.feed, "brand", chance.choice(["Acme", "Other"])),
                (plan.joined, "quantity", chance.choice(["0", "1", "few"])),
            ]
        )
        with make.database.transaction(plan.space.id) as db:
            row = db.get_one(Feed, (plan.space.id, feed.id))
            key = str(chance.randrange(1, 7))
            if chance.random() < 0.3:
                delete_items(db, row, [key])
            else:
                put_items(db, row, {key: {"sku": key, name: value}})
        changed, unclear, unmatched = plan.plan(), plan.campaign.unclear, plan.campaign.unmatched
        with make.database.transaction(plan.space.id) as db:
            campaign = db.get_one(Campaign, (plan.space.id, plan.campaign.id))
            save_rules(db, campaign, campaign.design_rules)  # so that all rows are planned
        assert plan.plan() == changed
        assert {rule: found["rows"] for rule, found in unclear.items()} == {
            rule: found["rows"] for rule, found in plan.campaign.unclear.items()
        }
        assert {name: found["rows"] for name, found in unmatched.items()} == {
            name: found["rows"] for name, found in plan.campaign.unmatched.items()
        }


def test_rows_that_a_joined_feed_does_not_have_are_counted(make: Factory) -> None:
    plan = Plan(make, join=STOCK)
    plan.plan()
    assert plan.campaign.unmatched == {"stock": {"rows": 1, "first": ["4"]}}
    with make.database.transaction(plan.space.id) as db:
        delete_items(db, db.get_one(Feed, (plan.space.id, plan.joined.id)), ["1", "2"])
    plan.plan()
    assert plan.campaign.unmatched == {"stock": {"rows": 3, "first": ["4", "1", "2"]}}
    make.import_rows(plan.feed, ROWS.replace(b"4,Gray,Other,40\n", b""))
    plan.plan()
    assert plan.campaign.unmatched == {"stock": {"rows": 2, "first": ["1", "2"]}}
    make.import_rows(plan.joined, STOCK)
    plan.plan()
    assert plan.campaign.unmatched == {}


def test_double_keys_of_a_joined_feed_are_found(make: Factory) -> None:
    plan = Plan(make, join=STOCK)
    make.import_rows(plan.joined, STOCK + b"2,8\n3,1\n3,2\n")
    plan.plan()
    with make.database.transaction(plan.space.id) as db:
        (found,) = find_join_findings(db, plan.campaign)
    assert (found.join.name, found.feed.name) == ("stock", "Stock")
    assert (found.unmatched, found.unmatched_keys) == (1, ["4"])
    assert (found.double, found.double_keys) == (3, ["2", "3"])
    make.import_rows(plan.joined, STOCK)
    with make.database.transaction(plan.space.id) as db:
        (found,) = find_join_findings(db, plan.campaign)
    assert found.double == 0


def test_only_selected_rows_belong_to_a_campaign(make: Factory) -> None:
    plan = Plan(make, selection=RowSelection(text="acme", column="brand").parameter())
    assert list(plan.plan()) == ["1", "3"]
    make.import_rows(plan.feed, ROWS.replace(b"Red,Acme", b"Red,Other").replace(b"Gray,Other", b"Gray,Acme"))
    assert list(plan.plan()) == ["3", "4"]
    plan = Plan(make, selection=RowSelection(keys=["2", "9"]).parameter())
    assert list(plan.plan()) == ["2"]


def test_rows_that_a_rule_cannot_decide_are_counted(make: Factory) -> None:
    plan = Plan(make, "amount(title) > 3")
    assert set(map(tuple, plan.plan().values())) == {(2,)}
    assert plan.campaign.unclear["1"]["rows"] == 4
    assert plan.campaign.unclear["1"]["first"][0][0] == "1"
    make.import_rows(plan.feed, ROWS.replace(b"Red", b"7").replace(b"Blue", b"2"))
    assert plan.plan() == {"1": [1], "2": [2], "3": [2], "4": [2]}
    assert plan.campaign.unclear["1"]["rows"] == 2
