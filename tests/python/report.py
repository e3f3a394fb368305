"""The report in Chromium: report.py PAGE SCREENSHOTS.

Holds that the page logs no error and asks for nothing beyond itself, that a column head sorts, that a
cell opens its lineage (and leads to its record without script), that nothing is wider than a phone, and
that text has the contrast of WCAG AA in light and dark. Writes screenshots for people to look at.
"""

import pathlib
import shutil
import sys

from playwright.sync_api import sync_playwright

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}

# Texts whose contrast against what lies behind them is below 4.5 (3 where the text is large).
CONTRAST = """() => {
  const parse = (text) => {
    const part = text.match(/[\\d.]+/g).map(Number);
    // color(srgb r g b / a) counts to 1, rgb() to 255.
    const unit = text.startsWith('color(') ? 255 : 1;
    return [part[0] * unit, part[1] * unit, part[2] * unit, part.length > 3 ? part[3] : 1];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[3] * top[i] + (1 - top[3]) * below[i]);
  const light = (c) => {
    const [r, g, b] = c.map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    const layers = [];
    for (let n = node; n; n = n.parentElement) layers.push(parse(getComputedStyle(n).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const bad = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !node.checkVisibility() || node.closest('script, style, .skip')) continue;
    const style = getComputedStyle(node);
    const svg = node.closest('svg');
    const ink = parse(svg ? style.fill : style.color);
    const ground = behind(svg ? svg.parentElement : node);
    const [a, b] = [light(over(ink, ground)), light(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      bad.set(`${node.tagName}.${node.getAttribute('class') || ''}`, `${ratio.toFixed(2)} '${node.textContent.trim().slice(0, 30)}'`);
    }
  }
  return [...bad].map(([name, text]) => `${name}: ${text}`);
}"""

# Elements that stick out of the page, but for those inside something that scrolls.
WIDER = """() => [...document.querySelectorAll('body *')].filter((n) => {
  const box = n.getBoundingClientRect();
  return box.width > 0 && box.right > document.documentElement.clientWidth + 1
    && !n.closest('.scroll, nav, .command, pre, svg, .skip');
}).map((n) => `${n.tagName}.${n.className}`).slice(0, 5)"""


def main() -> None:
    path, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    problems = []

    def hold(what: str, holds: bool, more: object = "") -> None:
        print(("ok    " if holds else "FAILS ") + what, more if not holds else "")
        if not holds:
            problems.append(what)

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])

        def page_of(**settings):
            context = browser.new_context(**settings)
            page = context.new_page()
            said, asked = [], []
            page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
            page.on("pageerror", lambda e: said.append(str(e)))
            page.on("request", lambda r: asked.append(r.url) if not r.url.startswith(("data:", path.as_uri())) else None)
            page.goto(path.as_uri())
            return page, said, asked

        page, said, asked = page_of(viewport=DESKTOP, color_scheme="light")
        page.screenshot(path=folder / "desktop.png")
        page.screenshot(path=folder / "desktop-whole.png", full_page=True)
        size = path.stat().st_size
        hold(f"{size / 1e6:.2f} MB, below 5", size < 5e6)

        table = page.locator("table.results").first
        heads = table.locator("button.sort")
        if heads.count() > 1:
            def column(n: int) -> list:
                return table.evaluate(
                    """(t, n) => [...t.tBodies].map((b) => [...b.rows].filter((r) => !r.classList.contains('group'))
                        .map((r) => r.children[n].dataset.value).filter((v) => v !== undefined).map(Number))""", n)
            before, head = column(1), heads.nth(1)
            downwards = head.get_attribute("data-kind") == "up"
            head.click()
            hold("a column head sorts", column(1) == [sorted(g, reverse=downwards) for g in before], column(1))
            head.click()
            hold("twice sorts the other way", column(1) == [sorted(g, reverse=not downwards) for g in before])
            head.click()
            hold("three times restores the order", column(1) == before)

            cell = table.locator("td.cell a.v").first
            method = cell.evaluate("a => a.closest('tr').dataset.method")
            cell.click()
            dialog = page.locator("dialog#lineage")
            hold("a cell opens its lineage", dialog.is_visible())
            text = dialog.inner_text()
            hold("the lineage names the row", method in text)
            hold("the lineage has stages down to the data", "prepare" in text and "index" in text, text[:300])
            hold("the lineage names the command", "amlp-run why" in text)
            page.screenshot(path=folder / "lineage.png")
            page.keyboard.press("Escape")
            hold("Escape closes it", not dialog.is_visible())
            cell.focus()
            page.keyboard.press("Enter")
            hold("the keyboard opens it too", dialog.is_visible())
            page.keyboard.press("Escape")

        hold("contrast in light", not (bad := page.evaluate(CONTRAST)), bad)
        page.add_style_tag(content=".top { position: static !important; }")
        for section in page.locator("main > section[id]").all():
            name = section.get_attribute("id")
            section.evaluate("n => n.querySelectorAll('details.plots, details.gallery').forEach((d) => { d.open = true; })")
            section.screenshot(path=folder / f"section-{name}.png")
        page.locator("button.theme").click()
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(400)
        hold("the switch makes it dark", page.evaluate("document.documentElement.dataset.theme") == "dark")
        hold("contrast in dark", not (bad := page.evaluate(CONTRAST)), bad)
        page.screenshot(path=folder / "dark.png")
        page.screenshot(path=folder / "dark-whole.png", full_page=True)
        hold("no message on the console", not said, said)
        hold("no request", not asked, asked)

        page, said, asked = page_of(viewport=PHONE, color_scheme="dark", device_scale_factor=2, is_mobile=True)
        page.evaluate("document.querySelectorAll('details.plots, details.gallery').forEach((d) => { d.open = true; })")
        width = page.evaluate("document.documentElement.scrollWidth")
        hold("no wider than a phone", width <= PHONE["width"], (width, page.evaluate(WIDER)))
        page.screenshot(path=folder / "phone.png")
        for name in ("tables", "claims", "pictures", "curves", "graph", "timings"):
            if page.locator(f"#{name}").count():
                page.locator(f"#{name}").scroll_into_view_if_needed()
                page.evaluate("n => document.getElementById(n).scrollIntoView()", name)
                page.wait_for_timeout(900)
                page.screenshot(path=folder / f"phone-{name}.png")
        hold("no message on the console of a phone", not said, said)

        page, said, asked = page_of(viewport=DESKTOP, java_script_enabled=False)
        hold("without script a cell leads to its record", page.locator("td.cell a.v[href^='#s-']").count() > 0
             or page.locator("td.cell").count() == 0)
        hold("without script no button that does nothing", not page.locator("button.theme").is_visible())

        page, said, asked = page_of(viewport=DESKTOP)
        page.emulate_media(media="print")
        page.pdf(path=folder / "print.pdf", prefer_css_page_size=True, print_background=True)
        hold("it prints", (folder / "print.pdf").stat().st_size > 10_000)
        browser.close()
    print(f"screenshots: {folder}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
