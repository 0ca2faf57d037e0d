"""The style sheets as `/dev/components` shows them."""

from cwz_web.views.components import Token, find_state_rules, find_tokens


def test_tokens_are_read_with_their_kind() -> None:
    tokens = find_tokens(
        ":root {\n  color-scheme: light dark;\n  --ink: light-dark(#111, #eee);\n  --space-1: .25rem;\n}\n"
    )
    assert tokens == [Token("ink", "light-dark(#111, #eee)"), Token("space-1", ".25rem")]
    assert [(token.is_color, token.is_length) for token in tokens] == [(True, False), (False, True)]


def test_states_of_pointer_and_keyboard_become_classes() -> None:
    rules = "a:hover, a:focus { color: red; }\n:focus-visible { outline: 0; }\na { color: blue; }\n"
    assert list(find_state_rules(rules)) == ["a.is-hover, a.is-focus { color: red; }", ".is-focus { outline: 0; }"]
