"""The page of uploads with JavaScript: files are sent one by one, with their progress, also when they are dropped."""

import base64

import pytest
from playwright.sync_api import Page, expect

from tests.factories import jpeg
from tests.installation import Installation

DROP = """files => {
    const data = new DataTransfer();
    for (const [name, content] of files) {
        const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
        data.items.add(new File([bytes], name));
    }
    for (const type of ["dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.mark.slow
def test_files_are_chosen_dropped_and_listed(
    page: Page, installation: Installation, csrf_token: str, console_errors: list[str]
) -> None:
    page.goto("/w/demo/uploads")
    page.get_by_label("Choose images or fonts").set_input_files(
        [
            {"name": "Blue banner.jpg", "mimeType": "image/jpeg", "buffer": jpeg(60, 20, (20, 60, 200))},
            {"name": "notes.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7"},
        ]
    )
    page.get_by_role("button", name="Upload files").click()
    queue = page.locator(".upload-queue li")
    expect(queue.nth(0)).to_contain_text("Uploaded")
    expect(queue.nth(1)).to_contain_text("The file is a PDF document, which is not supported")
    banner = page.get_by_role("link", name="Blue banner")
    expect(banner).to_be_visible()
    dropped = [["Red banner.jpg", base64.b64encode(jpeg(60, 20)).decode()]]
    page.evaluate(DROP, dropped)
    expect(page.get_by_role("link", name="Red banner")).to_be_visible()
    expect(queue).to_have_count(1)
    assert any("422" in message for message in console_errors)
    console_errors.clear()
    page.get_by_label("Search uploads by name").fill("blue")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#uploads li")).to_have_count(1)
    page.goto("/w/demo/uploads")
    for name in ("Blue banner", "Red banner"):
        path = page.get_by_role("link", name=name).get_attribute("href")
        for action in ("delete", "purge"):
            page.request.post(f"{path}/{action}", form={"csrf_token": csrf_token}, headers={"Origin": installation.url})
