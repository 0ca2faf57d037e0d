"""The editor in Chromium: what it shows is what is rendered, and what the mouse and the keyboard do is saved."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import pyvips
from playwright.sync_api import APIResponse, Browser, BrowserContext, Page, expect

from tests.installation import Installation

BOX = {"type": "shape", "width": 200, "height": 120, "fill": "#d03050"}
# Every way in which tiles mix.
MIXED: dict[str, Any] = {
    "version": 3,
    "canvas": {"width": 640, "height": 480, "background": "#f0ead8"},
    "layers": [
        BOX | {"name": "Box", "x": 40, "y": 40, "radius": 20, "shadow": {}},
        {"type": "text", "name": "Word", "x": 60, "y": 70, "width": 300, "height": 60, "size": 44, "text": "Stage"},
        BOX | {"name": "Multiply", "x": 160, "y": 100, "fill": "#40a0d0", "blend": "multiply", "rotation": 20},
        BOX | {"name": "Screen", "x": 300, "y": 60, "fill": "#405030", "blend": "screen", "opacity": 0.7},
        {
            "type": "group",
            "name": "Group",
            "x": 60,
            "y": 260,
            "width": 240,
            "height": 160,
            "rotation": 12,
            "opacity": 0.6,
            "layers": [BOX | {"name": "Inner"}, BOX | {"name": "Other", "x": 40, "y": 40}],
        },
        {
            "type": "stack",
            "name": "Stack",
            "x": 380,
            "y": 250,
            "width": 220,
            "height": 190,
            "gap": 12,
            "padding": 16,
            "background": "#ffffffd0",
            "radius": 16,
            "shadow": {},
            "border": {"color": "#333333", "width": 2},
            "layers": [
                {"type": "text", "name": "Line", "width": 180, "height": 40, "size": 30, "text": "In a stack"},
                {"type": "rating", "name": "Stars", "width": 150, "height": 30, "value": "3.7"},
            ],
        },
    ],
}

# Pastes an image as another program has copied it.
PASTE_IMAGE = """(image) => {
    const bytes = Uint8Array.from(atob(image), (character) => character.charCodeAt(0));
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([bytes], "Chair.png", { type: "image/png" }));
    const stage = document.getElementById("stage");
    stage.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
}"""
# What a user can see of the stage at 100 %, as the pixels of its canvas.
READ_PIXELS = """async () => {
    const { stage } = document.getElementById("editor").editor;
    stage.center(1, { x: stage.width / 2, y: stage.height / 2 });
    const box = { x: stage.konva.x(), y: stage.konva.y(), width: stage.width, height: stage.height, pixelRatio: 1 };
    const canvas = stage.image.toCanvas(box);
    const { data } = canvas.getContext("2d").getImageData(0, 0, stage.width, stage.height);
    let text = "";
    for (let at = 0; at < data.length; at += 32768) text += String.fromCharCode(...data.subarray(at, at + 32768));
    return btoa(text);
}"""
STATE = """() => {
    const { session, stage, selection } = document.getElementById("editor").editor;
    return { saved: session.saveState, selection, state: session.state, document: session.document };
}"""


class Editor:
    """The editor of a template of its own."""

    def __init__(self, page: Page, path: str) -> None:
        self.page, self.path = page, path
        page.goto(f"{path}/editor")
        expect(page.locator("#save-state")).to_have_text("Saved")
        page.wait_for_load_state("networkidle")

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.page.evaluate(STATE)
        return state

    def layer(self, name: str) -> dict[str, Any]:
        return next(layer for layer in self.state["document"]["layers"] if layer["name"] == name)

    def point(self, name: str, right: float = 0.5, down: float = 0.5) -> tuple[float, float]:
        """Where a part of the width and height of a layer is in the window: its center by default."""
        script = """([name, right, down]) => {
            const { stage } = document.getElementById("editor").editor, box = stage.container.getBoundingClientRect();
            const { x, y, width, height } = stage.find(name).frame;
            const at = stage.toContainer({ x: x + (right - 0.5) * width, y: y + (down - 0.5) * height });
            return [box.x + at.x, box.y + at.y];
        }"""
        # A press is in whole pixels, so that a drag from a fraction would be longer or shorter by it.
        x, y = map(round, self.page.evaluate(script, [name, right, down]))
        return x, y

    def drag(self, start: tuple[float, float], right: float, down: float) -> None:
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(start[0] + right / 2, start[1] + down / 2)
        mouse.move(start[0] + right, start[1] + down)
        mouse.up()

    def is_saved(self) -> None:
        expect(self.page.locator("#save-state")).to_have_text("Saved")


def walk(layers: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for layer in layers:
        yield layer
        yield from walk(layer.get("layers", []))


@pytest.fixture
def make_editor(
    page: Page, installation: Installation, csrf_token: str
) -> Iterator[Callable[[dict[str, Any]], Editor]]:
    """Creates templates in the demo, which are deleted again, and opens them in the editor."""
    made: list[str] = []

    def post(path: str, **fields: Any) -> APIResponse:
        headers = {"Origin": installation.url}
        return page.request.post(path, multipart={"csrf_token": csrf_token, **fields}, headers=headers)

    def make(document: dict[str, Any]) -> Editor:
        file = {"name": "template.json", "mimeType": "application/json", "buffer": json.dumps(document).encode()}
        answer = post("/w/demo/templates/import", name="Editor", file=file)
        path = re.search(r"/w/demo/templates/[0-9a-f-]{36}", answer.url)
        assert path is not None, answer.text()
        made.append(path[0])
        return Editor(page, path[0])

    yield make
    for path in made:
        post(f"{path}/delete")


def read_pixels(editor: Editor) -> Any:
    width, height = (editor.state["state"][side] for side in ("width", "height"))
    data = base64.b64decode(editor.page.evaluate(READ_PIXELS))
    return np.frombuffer(data, np.uint8).reshape(height, width, 4)


def test_stage_at_100_percent_is_the_rendered_image(make_editor: Any, installation: Installation) -> None:
    editor = make_editor(MIXED)
    demo = installation.demo_details
    answer = httpx.post(
        f"{installation.url}/v1/images",
        headers={"Authorization": f"Bearer {demo['api_key']}", "Accept": "image/png"},
        json={"template": editor.path.rpartition("/")[2], "format": "png"},
    )
    image = pyvips.Image.new_from_buffer(answer.content, "").numpy()
    apart = np.abs(read_pixels(editor)[..., :3].astype(int) - image[..., :3]).max(axis=2)
    assert np.mean(apart <= 1) >= 0.999


def test_drag_moves_and_undo_moves_back(make_editor: Any) -> None:
    editor = make_editor(MIXED)
    before = editor.layer("Stack")
    zoom = editor.page.evaluate("() => document.getElementById('editor').editor.stage.zoom")
    editor.page.evaluate("() => document.getElementById('editor').editor.commands.run('snapping')")
    editor.drag(editor.point("Stack"), 40 * zoom, 20 * zoom)
    editor.is_saved()
    after = editor.layer("Stack")
    assert (after["x"] - before["x"], after["y"] - before["y"]) == (40, 20)
    editor.page.keyboard.press("ArrowRight")
    editor.page.keyboard.press("Shift+ArrowDown")
    editor.is_saved()
    nudged = editor.layer("Stack")
    assert (nudged["x"] - after["x"], nudged["y"] - after["y"]) == (1, 10)
    editor.page.keyboard.press("Control+z")
    editor.page.keyboard.press("Control+z")
    expect(editor.page.locator("#version")).to_have_text("Version 1")
    assert editor.layer("Stack")["x"] == before["x"]


@pytest.mark.slow
def test_changes_of_two_windows_are_both_kept(
    make_editor: Any, context: BrowserContext, console_errors: list[str]
) -> None:
    editor = make_editor(MIXED)
    other = Editor(context.new_page(), editor.path)
    other.page.locator("[data-name=Box]").click()
    other.page.keyboard.press("ArrowRight")
    other.is_saved()
    editor.page.locator("[data-name=Word]").click()
    editor.page.locator("#stage").focus()
    editor.page.keyboard.press("ArrowDown")
    expect(editor.page.locator("#toast")).to_contain_text("changed in another window")
    editor.is_saved()
    assert editor.layer("Word")["y"] == MIXED["layers"][1]["y"] + 1
    assert editor.layer("Box")["x"] == MIXED["layers"][0]["x"] + 1
    # Both panels show the same layer, and the second one still has the old text.
    other.page.locator("[data-name=Word]").click()
    expect(other.page.locator("#p-text")).to_have_value("Stage")
    expect(editor.page.locator("#p-text")).to_have_value("Stage")
    with editor.page.expect_response(
        lambda each: each.request.method == "POST" and "Sale" in str(each.request.post_data)
    ):
        editor.page.locator("#p-text").fill("Sale")
    other.page.locator("#p-size").fill("30")
    expect(other.page.locator("#toast")).to_contain_text("changed in another window")
    other.is_saved()
    assert (other.layer("Word")["text"], other.layer("Word")["size"]) == ("Sale", 30)
    # A condition is replaced as a whole, and the later window says so.
    for window in (other, editor):
        window.page.locator("#condition-expression summary").click()
        expect(window.page.locator("#condition\\.expression")).to_have_value("")
    editor.page.locator("#condition\\.expression").fill("1 < 3")  # typed before the other window saves its own
    for window, text in ((other, "1 < 2"), (editor, "1 < 3"), (editor, "1 < 4")):
        with window.page.expect_response(lambda each, text=text: text in str(each.request.post_data) and each.ok):
            if text != "1 < 3":
                window.page.locator("#condition\\.expression").fill(text)
            window.page.get_by_role("button", name="Save expression").click()
        toast = window.page.locator("#toast", has_text="Your change has replaced it")
        expect(toast).to_be_visible(visible=text == "1 < 3")
        if text == "1 < 3":
            toast.get_by_role("button", name="Undo").click()
            expect(window.page.locator("#condition\\.expression")).to_have_value("1 < 2")
    editor.is_saved()
    assert editor.layer("Word")["show_if"] == "1 < 4"
    other.page.close()
    console_errors.clear()  # the browser's of the answer 409


@pytest.mark.slow
def test_changes_of_a_closed_window_are_sent_by_another(
    make_editor: Any, context: BrowserContext, console_errors: list[str]
) -> None:
    editor = make_editor(MIXED)
    other = Editor(context.new_page(), editor.path)
    other.page.route("**/operations", lambda route: route.abort())
    other.page.locator("[data-name=Word]").click()
    other.page.locator("#p-text").fill("Sale")
    expect(other.page.locator("#save-state")).to_contain_text("Offline")
    editor.page.reload()
    editor.is_saved()
    assert editor.layer("Word")["text"] == "Stage"
    other.page.close()
    editor.page.wait_for_function(
        "() => document.getElementById('editor').editor.session.document.layers.some((layer) => layer.text === 'Sale')"
    )
    editor.is_saved()
    assert editor.page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('editor:'))") == []
    console_errors.clear()  # those of the requests that failed


@pytest.mark.slow
def test_changes_that_are_refused_can_be_discarded(make_editor: Any, console_errors: list[str]) -> None:
    editor = make_editor(MIXED)
    page = editor.page
    page.route("**/operations", lambda route: route.fulfill(status=404))
    page.locator("[data-name=Word]").click()
    page.locator("#p-text").fill("Sale")
    expect(page.locator("#save-state")).to_have_text("Not saved. The template no longer exists")
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("#discard-unsent")).to_be_visible()
    page.get_by_role("button", name="Discard changes").click()
    expect(page.locator("#toast")).to_have_text("Changes that were not saved are discarded.")
    editor.is_saved()
    page.unroute("**/operations")
    page.reload()
    editor.is_saved()
    assert editor.layer("Word")["text"] == "Stage"
    console_errors.clear()  # those of the requests that were refused


def test_changes_made_offline_are_sent_later(
    make_editor: Any, context: BrowserContext, console_errors: list[str]
) -> None:
    editor = make_editor(MIXED)
    page, save_state = editor.page, editor.page.locator("#save-state")
    page.locator("[data-name=Word]").click()
    expect(page.locator("#p-text")).to_have_value("Stage")
    publish = page.get_by_role("button", name="Publish")
    place = publish.bounding_box()
    context.set_offline(True)
    page.keyboard.press("ArrowRight")
    expect(save_state).to_contain_text("Offline. 1 change will be saved later")
    page.locator("#p-text").fill("Sal")
    page.locator("#p-text").fill("Sale")
    expect(save_state).to_contain_text("Offline. 2 changes will be saved later")
    assert publish.bounding_box() == place
    context.set_offline(False)
    editor.is_saved()
    page.reload()
    editor.is_saved()
    assert editor.layer("Word")["x"] == MIXED["layers"][1]["x"] + 1
    assert editor.layer("Word")["text"] == "Sale"
    console_errors.clear()  # those of the requests that failed


@pytest.mark.slow
def test_text_is_edited_in_place(make_editor: Any) -> None:
    field = {"name": "price", "label": "Price", "type": "text", "default": "49 €"}
    word = {"type": "text", "name": "Word", "x": 60, "y": 70, "width": 400, "height": 60, "size": 44, "text": "Sale"}
    editor = make_editor({**MIXED, "fields": [field], "layers": [word]})
    keyboard, text = editor.page.keyboard, editor.page.locator("#text-box")
    editor.page.mouse.dblclick(*editor.point("Word"))
    expect(text).to_have_text("Sale")
    keyboard.press("End")
    keyboard.type(" from @pri")
    keyboard.press("Enter")
    keyboard.type(" now")
    expect(text).to_contain_text("from Price now")
    for _ in range(3):
        keyboard.press("Shift+ArrowLeft")
    editor.page.get_by_role("button", name="Bold").click()
    keyboard.press("Escape")
    editor.is_saved()
    parts = [(each["text"], each["weight"]) for each in editor.layer("Word")["spans"]]
    assert parts == [("Sale from {{ price }} ", None), ("now", 700)]
    keyboard.press("Enter")
    keyboard.press("Control+Shift+X")
    keyboard.press("Control+Enter")
    editor.is_saved()
    assert editor.layer("Word")["strike"] is True


def arranged() -> dict[str, Any]:
    """Return a document with a stack, two shapes beside it, and a text that uses a field."""
    stack = {"type": "stack", "name": "Stack", "x": 20, "y": 20, "width": 240, "height": 300, "gap": 20, "padding": 20}
    word = {"type": "text", "name": "Word", "x": 300, "y": 380, "width": 300, "height": 60, "size": 40}
    return {
        "version": 3,
        "canvas": {"width": 640, "height": 480, "background": "#ffffff"},
        "fields": [{"name": "price", "label": "Price", "type": "text", "default": "49 €"}],
        "layers": [
            stack | {"background": "#eeeeee", "layers": [BOX | {"name": "First", "height": 60}]},
            BOX | {"name": "Left", "x": 300, "y": 40, "width": 100, "rotation": 10},
            BOX | {"name": "Right", "x": 440, "y": 60, "width": 100},
            word | {"text": "{{ price }}"},
        ],
        "sizes": [{"name": "story", "width": 480, "height": 640, "overrides": {"Left": {"x": 40, "y": 400}}}],
    }


@pytest.mark.slow
def test_layers_are_arranged_with_the_mouse(make_editor: Any) -> None:
    editor = make_editor(arranged())
    page, zoom = editor.page, editor.page.evaluate("() => document.getElementById('editor').editor.stage.zoom")
    # Above the only layer of the stack, then out of it again.
    (x, y), (to_x, to_y) = editor.point("Right"), editor.point("First")
    editor.drag((x, y), to_x - x, to_y - 25 * zoom - y)
    editor.is_saved()
    assert [each["name"] for each in editor.layer("Stack")["layers"]] == ["Right", "First"]
    page.wait_for_load_state("networkidle")
    page.keyboard.down("Control")
    page.mouse.click(*editor.point("Right"))
    page.keyboard.up("Control")
    x, y = editor.point("Right")
    editor.drag((x, y), to_x + 300 * zoom - x, 0)
    editor.is_saved()
    moved = editor.layer("Right")
    # A group keeps places in each size.
    page.mouse.click(*editor.point("Left"), button="right")
    page.keyboard.press("Escape")
    page.keyboard.down("Shift")
    page.mouse.click(*editor.point("Right"))
    page.keyboard.up("Shift")
    page.get_by_role("button", name="Group", exact=True).last.click()
    editor.is_saved()
    group = editor.layer("Group")
    left, right = sorted(group["layers"], key=lambda each: each["name"])
    assert (group["x"] + left["x"], group["y"] + left["y"], left["rotation"]) == (300, 40, 10)
    assert (group["x"] + right["x"], group["y"] + right["y"]) == (moved["x"], moved["y"])
    story = editor.state["document"]["sizes"][0]["overrides"]
    assert (story["Group"]["x"] + story["Left"]["x"], story["Group"]["y"] + story["Left"]["y"]) == (40, 400)


@pytest.mark.slow
def test_layers_are_arranged_and_copied_with_the_keyboard(make_editor: Any) -> None:
    editor, target = make_editor(arranged()), {**MIXED, "layers": []}
    page, keyboard = editor.page, editor.page.keyboard
    keyboard.press("Control+k")
    keyboard.type("word")
    keyboard.press("Enter")
    page.locator("#stage").focus()
    keyboard.press("Shift+A")
    editor.is_saved()
    assert editor.layer("Stack 2")["layers"][0]["sizing"]["height"] == "hug"
    keyboard.press("Control+c")
    expect(page.locator("#announcements")).to_have_text("Copied Stack 2")
    other = make_editor(target)
    other.page.locator("#stage").focus()
    other.page.keyboard.press("Control+v")
    expect(other.page.locator("#toast")).to_contain_text("Added the fields price")
    other.is_saved()
    state = other.state["document"]
    assert [each["name"] for each in state["fields"]] == ["price"]
    assert state["layers"][0]["layers"][0]["text"] == "{{ price }}"
    other.page.keyboard.press("Alt+A")
    other.is_saved()
    assert other.layer("Stack 2")["x"] == 0
    other.page.keyboard.press("Shift+F10")
    other.page.get_by_role("menuitem", name="Duplicate").press("Enter")
    other.is_saved()
    assert len(other.state["document"]["layers"]) == 2


@pytest.mark.slow
def test_gradient_is_changed_on_the_stage(make_editor: Any) -> None:
    fill = {"type": "linear", "start": "#4050e0", "end": "#e04080", "angle": 90}
    editor = make_editor({**MIXED, "layers": [BOX | {"name": "Box", "x": 200, "y": 150, "fill": fill}]})
    page = editor.page
    page.locator("[data-name=Box]").click()
    end = page.get_by_role("button", name="End of the gradient")
    box = end.bounding_box()
    assert box is not None
    x, y = editor.point("Box")
    editor.drag((box["x"] + 9, box["y"] + 9), x + 60 - box["x"] - 9, y - box["y"] - 9)
    expect(page.get_by_role("button", name="End of the gradient")).to_be_visible()
    editor.is_saved()
    assert editor.layer("Box")["fill"]["angle"] == 0
    end.focus()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("+")
    page.get_by_role("button", name="Stop at 50%").click()
    page.get_by_label("Color as hexadecimal number").fill("#fd0")
    page.keyboard.press("Escape")
    editor.is_saved()
    expected = fill | {"angle": 15, "middle": None, "stops": [{"offset": 0.5, "color": "#ffdd00"}]}
    assert editor.layer("Box")["fill"] == expected


@pytest.mark.slow
def test_elements_and_uploads_are_added(make_editor: Any, console_errors: list[str]) -> None:
    photo = {"type": "image", "name": "Photo", "x": 340, "y": 20, "width": 200, "height": 120, "source": ""}
    stack = {"type": "stack", "name": "Stack", "x": 20, "y": 300, "width": 600, "height": 160, "direction": "row"}
    editor = make_editor({**MIXED, "layers": [photo, stack | {"layers": [BOX | {"name": "Box"}]}]})
    page = editor.page

    def drag_to(item: Any, name: str) -> None:
        box = item.bounding_box()
        x, y = editor.point(name)
        editor.drag((box["x"] + 10, box["y"] + 10), x - box["x"] - 10, y - box["y"] - 10)
        editor.is_saved()

    page.locator("#stage").press("r")
    expect(page.locator("#announcements")).to_have_text("Added Rectangle")
    page.locator("#stage").press("Shift+E")
    page.get_by_role("button", name="Title", exact=True).press("Enter")
    expect(page.locator("#announcements")).to_have_text("Added Title")
    drag_to(page.get_by_role("button", name="Discount badge", exact=True), "Box")
    assert {each["name"] for each in editor.layer("Stack")["layers"]} == {"Box", "Badge"}
    page.get_by_role("searchbox", name="Search icons").fill("shopping cart")
    page.get_by_role("button", name="Add icon shopping cart", exact=True).click()
    editor.is_saved()
    assert any(each.get("icon") == "shopping-cart" for each in walk(editor.state["document"]["layers"]))
    page.get_by_role("tab", name="Uploads").click()
    image = pyvips.Image.black(60, 40).pngsave_buffer()
    files = [("Sofa.png", image), ("notes.png", b"no image")]
    page.locator("#upload-files").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files]
    )
    expect(page.locator("#upload-queue .error")).to_contain_text("file type is not supported")
    drag_to(page.locator(".upload", has_text="Sofa"), "Photo")
    assert editor.layer("Photo")["source"].startswith("upload:")
    page.evaluate(PASTE_IMAGE, base64.b64encode(pyvips.Image.black(30, 30).pngsave_buffer()).decode())
    expect(page.locator("#announcements")).to_have_text("Added Chair")
    editor.is_saved()
    assert editor.layer("Chair")["source"].startswith("upload:")
    page.get_by_role("tab", name="Data").click()
    page.locator("#feed").select_option(label="Harbour Goods, autumn")
    column = page.locator("#field-offers").get_by_role("button", name="Title")
    column.press("Enter")
    editor.is_saved()
    assert editor.state["document"]["fields"][-1]["name"] == "title"
    expect(column).to_be_focused()
    console_errors.clear()  # the browser's of the file that was refused


@pytest.mark.slow
def test_brand_is_applied_by_its_names(make_editor: Any, console_errors: list[str]) -> None:
    editor = make_editor(MIXED)
    page = editor.page
    page.goto("/w/demo/brand")
    page.locator('[name="colors.0.name"]').fill("Primary")
    page.locator('[name="colors.0.value"]').fill("#d9480f")
    page.locator('[name="styles.0.name"]').fill("Heading")
    page.locator('[name="styles.0.color"]').fill("brand:primary")
    page.get_by_role("button", name="Save brand").click()
    expect(page.get_by_role("group", name="heading")).to_be_visible()
    editor = Editor(page, editor.path)
    page.get_by_role("tab", name="Brand").click()
    page.evaluate("document.getElementById('editor').editor.select(['Word', 'Box'])")
    # The color of both by the mouse, the style of the text by the keyboard.
    page.get_by_role("button", name="primary").click()
    page.get_by_role("button", name="heading").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#announcements")).to_have_text("heading applied to Word")
    expect(page.locator("#save-state")).to_have_text("Saved")
    page.wait_for_load_state("networkidle")
    word, box = editor.layer("Word"), editor.layer("Box")
    assert (word["style"], word["color"], box["fill"]) == ("brand:heading", "brand:primary", "brand:primary")
    assert editor.state["document"]["brand"]["colors"] == {"primary": "#d9480f"}
    assert console_errors == []


@pytest.mark.slow
def test_refused_values_stay_with_their_reason(make_editor: Any, console_errors: list[str]) -> None:
    word = {"type": "text", "x": 60, "y": 70, "width": 400, "height": 60, "size": 44, "text": "Sale"}
    editor = make_editor({**MIXED, "layers": [word | {"name": "Word"}, word | {"name": "Other", "y": 170}]})
    page, error = editor.page, editor.page.locator("#properties .error")
    page.locator("[data-name=Word]").click()
    size, case = page.locator("#p-size"), page.locator("#p-case")
    size.fill("5")
    expect(error).to_have_text("Enter at least 6")
    with page.expect_response("**/editor-properties?*"):
        editor.page.locator("#p-x").fill("61")
        page.evaluate("() => document.getElementById('editor').editor.edit('x', (copy) => { copy.layers[1].x = 5 })")
        page.locator("#stage").focus()
    expect(error).to_have_text("Enter at least 6")
    expect(size).to_have_value("5")
    size.fill("50")
    expect(error).to_have_count(0)
    case.select_option("upper")
    page.locator("[data-name=Other]").click()
    expect(page.locator("#properties h2").first).to_have_text("Other")
    expect(case).to_have_value("none")
    expect(size).to_have_value("44")
    editor.is_saved()
    assert (editor.layer("Word")["size"], editor.layer("Word")["case"]) == (50, "upper")
    console_errors.clear()  # those of the answers 422


@pytest.mark.slow
def test_session_that_has_ended_is_continued(
    make_editor: Any, context: BrowserContext, console_errors: list[str]
) -> None:
    editor = make_editor(MIXED)
    page, dialog = editor.page, editor.page.get_by_role("dialog", name="Your session has ended")
    cookies = context.cookies()
    context.clear_cookies()
    page.locator("[data-name=Word]").click()
    page.keyboard.press("ArrowRight")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_contain_text("You are still signed out")
    other = context.new_page()
    other.goto("/")
    other.get_by_role("button", name="Explore the demo").click()
    other.wait_for_url("**/w/demo")
    assert {each["value"] for each in cookies}.isdisjoint(each["value"] for each in context.cookies())
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_be_hidden()
    editor.is_saved()
    assert editor.layer("Word")["x"] == MIXED["layers"][1]["x"] + 1
    other.close()
    page.reload()
    editor.is_saved()
    assert editor.layer("Word")["x"] == MIXED["layers"][1]["x"] + 1
    console_errors.clear()


@pytest.mark.slow
def test_template_is_commented_compared_and_shared(
    make_editor: Any, browser: Browser, console_errors: list[str]
) -> None:
    editor = make_editor(MIXED)
    page = editor.page
    mark = page.locator("#stage").get_by_role("button", name="1 open comment on Word")
    page.locator("[data-name=Word]").click()
    page.keyboard.press("c")
    expect(page.locator("#comment-text")).to_be_focused()
    page.keyboard.type("Larger, please")
    page.get_by_role("button", name="Add comment").press("Enter")
    expect(mark).to_be_visible()
    page.get_by_label("Edit comment 1").press("Enter")
    page.get_by_label("Text of comment 1").fill("Smaller, please")
    page.get_by_role("button", name="Save comment").click()
    expect(page.locator(".comment-text")).to_have_text("Smaller, please")
    page.get_by_role("tab", name="Layers").click()
    expect(page.locator("[data-name=Word]")).to_have_attribute("aria-label", "Word, text, 1 open comment")
    mark.click()
    expect(page.locator("#comment-text")).to_be_focused()
    page.get_by_role("button", name="Resolve comment 1").press("Enter")
    expect(mark).to_have_count(0)
    expect(page.get_by_role("button", name="Reopen comment 1")).to_be_focused()
    page.keyboard.press("Enter")
    expect(mark).to_be_visible()
    page.locator("#stage").focus()
    page.keyboard.press("Delete")
    expect(mark).to_have_count(0)
    editor.is_saved()
    page.get_by_role("tab", name="Comments").click()
    expect(page.locator(".comment-list")).to_contain_text("on Word, which is no longer in the template")

    page.goto(f"{editor.path}/compare?before=1&after=draft&mode=swipe")
    slider = page.get_by_role("slider")
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^51% Version 1, 49% "))
    page.get_by_role("link", name="Side by side").click()
    for image in page.locator(".pair img").all():
        expect(image).to_have_js_property("naturalWidth", MIXED["canvas"]["width"])
    page.get_by_role("link", name=re.compile("difference", re.IGNORECASE)).click()
    expect(page.locator(".heat figcaption")).to_contain_text("of the pixels changed")

    page.goto(f"{editor.path}/links")
    page.get_by_role("button", name="Create link").click()
    link = page.get_by_label("Link", exact=True).inner_text()
    visitor = browser.new_context().new_page()
    visitor.goto(link)
    expect(visitor.locator(".shared img").first).to_have_js_property("complete", True)
    expect(visitor.locator("form, #editor")).to_have_count(0)
    page.get_by_role("button", name="Revoke link 1, Default values").click()
    expect(page.get_by_role("button", name=re.compile("Revoke"))).to_have_count(0)
    answer = visitor.reload()
    assert answer is not None
    assert answer.status == 404
    visitor.context.close()
    console_errors.clear()  # the preview of the draft is not in each answer


@pytest.mark.slow
def test_layers_are_dropped_in_line_cropped_and_ungrouped(
    make_editor: Any, context: BrowserContext, console_errors: list[str]
) -> None:
    gradient = {"type": "linear", "start": "#4050e0", "end": "#e04080", "angle": 0}
    word = {"type": "text", "x": 40, "y": 380, "width": 300, "height": 60, "size": 44, "text": "Sale"}
    card = {"type": "group", "name": "Card", "x": 420, "y": 300, "width": 200, "height": 140, "rotation": 90}
    layers = [
        BOX | {"name": "Box", "x": 40, "y": 40},
        word | {"name": "Word", "gradient": gradient},
        card | {"layers": [BOX | {"name": "Inner", "x": 10, "y": 20, "width": 50, "height": 30}]},
    ]
    editor = make_editor({**MIXED, "layers": layers})
    page, zoom = editor.page, read_zoom(editor)
    page.get_by_role("tab", name="Elements").click()
    item = page.get_by_role("button", name="Rectangle", exact=True).bounding_box()
    assert item is not None
    (x, y), start = editor.point("Box"), (item["x"] + 10, item["y"] + 10)
    editor.drag(start, x + 4 * zoom - start[0], y + 130 * zoom - start[1])
    editor.is_saved()
    added, box = editor.layer("Rectangle"), editor.layer("Box")
    assert added["x"] + added["width"] / 2 == box["x"] + box["width"] / 2

    page.get_by_role("tab", name="Layers").click()
    page.locator("[data-name=Word]").click()
    page.get_by_role("button", name="End of the gradient").press("Shift+ArrowRight")
    editor.is_saved()
    assert editor.layer("Word")["gradient"]["angle"] == 15

    image = pyvips.Image.black(90, 50).pngsave_buffer()  # no other test uploads it
    page.get_by_role("tab", name="Uploads").click()
    page.locator("#upload-files").set_input_files([{"name": "Lamp.png", "mimeType": "image/png", "buffer": image}])
    page.evaluate("document.getElementById('editor').editor.leave()")
    page.locator(".upload", has_text="Lamp").get_by_role("button").first.press("Enter")
    editor.is_saved()
    page.locator("#stage").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#crop-frame")).to_be_focused()
    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Escape")
    editor.is_saved()
    lamp = editor.layer("Lamp")
    assert lamp["zoom"] > 1
    assert lamp["focus"] != "center"

    context.set_offline(True)
    page.get_by_role("tab", name="Layers").click()
    page.locator("[data-name=Card] > .layer-row").click()
    page.keyboard.press("Control+Shift+G")
    expect(page.locator("#announcements")).to_have_text("Ungrouped Card")
    expect(page.locator("#save-state")).to_contain_text("Offline")
    context.set_offline(False)
    editor.is_saved()
    assert editor.layer("Inner")["rotation"] == 90
    console_errors.clear()  # those of the requests that failed


@pytest.mark.slow
def test_gestures_of_the_mouse_and_keys(make_editor: Any) -> None:
    boxes = [BOX | {"name": name, "x": x, "y": y} for name, x, y in [("A", 40, 40), ("B", 40, 300), ("C", 400, 300)]]
    editor = make_editor({**MIXED, "layers": boxes})
    page, keyboard, mouse, zoom = editor.page, editor.page.keyboard, editor.page.mouse, read_zoom(editor)
    page.evaluate("document.getElementById('editor').editor.commands.run('snapping')")
    (x, y), (to_x, to_y) = editor.point("A", 0, 0), editor.point("B", 1, 1)
    editor.drag((x - 20, y - 20), to_x - x + 40, to_y - y + 40)
    assert editor.state["selection"] == ["A", "B"]
    mouse.click(*editor.point("A"))
    editor.drag(editor.point("A", 1, 0.5), 40 * zoom, 0)
    editor.is_saved()
    assert (editor.layer("A")["x"], editor.layer("A")["width"]) == (40, 240)
    # About a quarter turn, which snaps to one.
    mouse.click(*editor.point("C"))
    (x, y), (_, center) = editor.point("C", 0.5, 0), editor.point("C")
    editor.drag((x, y - 28), 150, center + 4 - y + 28)
    expect(page.locator("#p-rotation")).to_have_value("90")
    keyboard.press("Control+z")
    expect(page.locator("#p-rotation")).to_have_value("0")

    keyboard.press("Control+Shift+H")
    keyboard.press("Control+Shift+L")
    page.locator("[data-name=B]").click()
    keyboard.press("F2")
    keyboard.type("Second")
    keyboard.press("Enter")
    editor.is_saved()
    assert [(each["name"], each["hidden"], each["locked"]) for each in editor.state["document"]["layers"]] == [
        ("A", False, False),
        ("Second", False, False),
        ("C", True, True),
    ]
    page.locator("#stage").focus()
    before = editor.point("A")
    keyboard.down(" ")
    editor.drag((before[0] + 300, before[1]), 60, 20)
    keyboard.up(" ")
    assert editor.point("A") == (before[0] + 60, before[1] + 20)
    keyboard.press("Shift+R")
    ruler = page.locator(".ruler-y").bounding_box()
    assert ruler is not None
    editor.drag((ruler["x"] + 8, before[1]), 300, 0)
    [aids] = page.evaluate("Object.entries(localStorage).filter(([key]) => key.startsWith('editor-aids:'))")
    assert len(json.loads(aids[1])["guides"]["x"]) == 1
    keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()


@pytest.mark.slow
def test_fingers_zoom_and_move_layers_on_a_phone(
    make_editor: Any, browser: Browser, installation: Installation, demo_session: Any
) -> None:
    path = make_editor({**MIXED, "layers": [BOX | {"name": "Box", "x": 200, "y": 150}]}).path
    screen = {"width": 390, "height": 844}
    with browser.new_context(
        base_url=installation.url, storage_state=demo_session, viewport=screen, has_touch=True, is_mobile=True
    ) as phone:
        editor = Editor(phone.new_page(), path)
        hand = phone.new_cdp_session(editor.page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
            hand.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": fingers})

        zoom = read_zoom(editor)
        touch("Start", (150, 300), (250, 300))
        touch("Move", (120, 300), (280, 300))
        touch("Move", (100, 300), (300, 300))
        touch("End")
        assert read_zoom(editor) > 1.5 * zoom
        editor.page.evaluate("document.getElementById('editor').editor.commands.run('zoom-fit')")
        x, y = editor.point("Box")
        touch("Start", (x, y))
        touch("Move", (x + 10, y + 20))
        touch("Move", (x + 20, y + 40))
        touch("End")
        editor.is_saved()
        moved = editor.layer("Box")
        assert (moved["x"], moved["y"]) > (200, 150)


def read_zoom(editor: Editor) -> float:
    zoom: float = editor.page.evaluate("() => document.getElementById('editor').editor.stage.zoom")
    return zoom
