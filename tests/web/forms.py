"""The forms of a page without scripts."""

from __future__ import annotations

from html.parser import HTMLParser


class Forms(HTMLParser):
    """The forms of a page: each address with its fields. Nothing on the page may be a script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.methods: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.methods.add(named["method"])
            self.found.append((named["action"], {}))
        elif tag in ("input", "select") and "name" in named and (named.get("type") != "checkbox" or "checked" in named):
            self.found[-1][1][named["name"]] = named.get("value", "")
        elif tag == "option" and not next(reversed(self.found[-1][1].values())):
            self.found[-1][1][next(reversed(self.found[-1][1]))] = named["value"]
        assert tag != "script", named
        assert not [name for name in named if name.startswith("on") or name == "style"], named

    def to(self, begins: str) -> tuple[str, dict[str, str]]:
        return next((action, fields) for action, fields in self.found if action.startswith(begins))
