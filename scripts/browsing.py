"""A real browser, for tests that look at what a page shows and for pictures of it."""

import base64
import importlib.util
import io
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

# Every element that a selector matches, inside shadow roots too.
_DEEP = """
const found = [];
const walk = node => {
  for (const child of node.children || []) {
    found.push(child);
    if (child.shadowRoot) walk(child.shadowRoot);
    walk(child);
  }
};
walk(document);
return found.filter(element => element.matches(arguments[0]));
"""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 120.0  # machines that test are busy; what is there is seen at once


def missing() -> str | None:
    """What a browser here would need, in words; None where there is one.

    To have one: `apt-get install chromium chromium-driver`, `pip install lossheads[browser]`.
    """
    if importlib.util.find_spec("selenium") is None:
        return "selenium is not installed"
    if not any(map(shutil.which, CHROMIUM)):
        return "chromium is not installed"
    return None if shutil.which("chromedriver") else "chromedriver is not installed"


class Browser:
    """A window without a screen, `width` × `height` pixels inside."""

    def __init__(self, driver: Any, width: int, height: int) -> None:
        self._driver = driver
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """From now on as large."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def open(self, address: str) -> None:
        """Go there anew: no state of the page before is left but what the browser keeps."""
        self._driver.get("about:blank")
        self._driver.get_log("browser")
        self._driver.get(address)

    @property
    def address(self) -> str:
        return str(self._driver.current_url)

    def script(self, code: str) -> Any:
        return self._driver.execute_script(code)

    def texts(self, selector: str) -> list[str]:
        """What the elements say, white space as one space; hidden words too."""
        code = f"{_DEEP[:-2].rstrip()}.map(element => element.textContent || '');"
        said = self._driver.execute_script(code, selector)
        return [" ".join(text.split()) for text in said]

    def shown(self, selector: str) -> list[tuple[float, float, float, float]]:
        """Left, top, width and height of the elements that take room on the page."""
        code = f"""{_DEEP[:-2].rstrip()}.map(element => {{
          const box = element.getBoundingClientRect();
          return [box.left, box.top, box.width, box.height];
        }});"""
        boxes = self._driver.execute_script(code, selector)
        return [(x, y, w, h) for x, y, w, h in boxes if w > 0 and h > 0]

    def attributes(self, selector: str, name: str) -> list[str]:
        """An attribute of the elements."""
        code = f"{_DEEP[:-2].rstrip()}.map(element => element.getAttribute('{name}') || '');"
        return [str(value) for value in self._driver.execute_script(code, selector)]

    def errors(self) -> list[str]:
        """What the browser's console calls severe since the page was opened."""
        return [e["message"] for e in self._driver.get_log("browser") if e["level"] == "SEVERE"]

    def wait(self, until: Callable[[], Any], what: str) -> Any:
        """Ask until the answer is true.

        Raises:
            AssertionError: If it does not come.
        """
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if answer := until():
                return answer
            time.sleep(0.2)
        raise AssertionError(f"after {SECONDS:.0f} s the page does not show {what}")

    def colours(self, selector: str) -> set[tuple[int, int, int]]:
        """The colours of an element's pixels, drawn ones on a canvas included."""
        (x, y, w, h), *_ = self.shown(selector)
        with Image.open(io.BytesIO(self._driver.get_screenshot_as_png())) as window:
            box = window.convert("RGB").crop((int(x), int(y), int(x + w), int(y + h)))
        return {colour for _, colour in box.getcolors(box.width * box.height) or []}

    def theme(self, name: str) -> None:
        """`light` or `dark`, as a reader's system asks for it."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def media(self, name: str) -> None:
        """`print` shows the page as it would be printed; "" as it is."""
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": name})

    def press(self, key: str) -> None:
        """A key, wherever the focus is."""
        from selenium.webdriver import ActionChains, Keys

        ActionChains(self._driver).send_keys(getattr(Keys, key.upper())).perform()

    def pdf(self) -> bytes:
        """The page as it is printed, on A4."""
        size = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True}
        printed = self._driver.execute_cdp_cmd("Page.printToPDF", size)
        return base64.b64decode(printed["data"])

    def rest(self) -> None:
        """Wait until the window looks the same twice."""
        before = b""
        for _ in range(20):
            time.sleep(0.5)
            now = self._driver.get_screenshot_as_png()
            if now == before:
                return
            before = now

    def save(self, path: Path) -> None:
        """A picture of the window, as a PNG file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        assert self._driver.save_screenshot(str(path))


@contextmanager
def browser(width: int = 1280, height: int = 720) -> Iterator[Browser]:
    """A new window with nothing kept from before."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, CHROMIUM)))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # As root there is no sandbox; /dev/shm is small in containers; no card draws WebGL.
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{flag}")
    options.add_argument("--enable-unsafe-swiftshader")
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver, width, height)
    finally:
        driver.quit()
