"""How long data is kept, as the settings page says it."""

from dataclasses import replace

from cwz_web.ops.retention import RetentionPolicy
from cwz_web.views.retention_periods import list_retention_periods

POLICY = RetentionPolicy(
    audit=730, history=365, deliveries=30, usage=1100, deleted=1, exports=7, requests=7, plan_history={"free": 30}
)


def periods(policy: RetentionPolicy, plan: str) -> dict[str, str]:
    return {each.data: each.period for each in list_retention_periods(policy, plan)}


def test_periods_are_those_of_the_policy_and_the_plan() -> None:
    found = periods(POLICY, "free")
    assert found["Imports and earlier values of rows"] == "30 days"
    assert found["Deleted uploads"] == "1 day"
    assert found["Deleted images"] == "30 minutes"
    assert found["API requests"] == "7 days, at most 100,000 requests"
    assert periods(replace(POLICY, plan_history={}), "free")["Imports and earlier values of rows"] == "365 days"


def test_installation_without_a_log_of_requests_says_so() -> None:
    assert periods(replace(POLICY, requests=0), "free")["API requests"] == "No log"
