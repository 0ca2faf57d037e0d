from cwz_web.security_claims import load_claims, to_markdown
from tests.installation import ROOT


def test_documentation_shows_the_claims() -> None:
    expected = to_markdown(load_claims())
    assert (ROOT / "docs" / "security-claims.md").read_text() == expected, "run: python -m cwz_web.security_claims"


def test_code_and_tests_of_each_claim_exist() -> None:
    paths = {path for claim in load_claims().claims for path in (*claim.code, *claim.tests)}
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_anchors_are_unique() -> None:
    anchors = [claim.anchor for claim in load_claims().claims]
    assert len(set(anchors)) == len(anchors) > 50
