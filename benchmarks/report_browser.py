"""Time the HTML report in a browser: how long it takes to open, to filter, and to show a pivot.

    python benchmarks/report_browser.py [--pivots 10000] [--rounds 9] [--report report.html]

Makes generated pivots, a run of an agent that is mostly wrong, and its report, unless a report is given. It is opened
from disk in headless Chromium, in turns with an empty page of the same number of bytes. A report is open when its table
can be used, and the empty page when its load event has ended. A filter is timed from the change of the view to the end
of the layout that it causes, and a pivot from the request to the end of its layout. Medians are printed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Page

AGENT = """
import zlib

def answer(pivot):
    tool = pivot.tools[0]["name"] if pivot.tools else None
    if zlib.crc32(pivot.id.encode()) % 3 == 0 and tool:
        return {"name": tool, "arguments": "{}"}
    return "Which day would suit you?"
"""
OPENED = "document.documentElement.dataset.ready === 'yes'"
FILTERS = """() => {
    const app = globalThis.fcReport;
    const tools = app.rows.values("expected_tool").slice(0, 5).map(([tool]) => ({ filters: { tool } }));
    const words = ["a", "re", "get", "message", "no such word", "get a"].map((q) => ({ q }));
    const outcomes = ["passed", "failed"].map((outcome) => ({ filters: { outcome } }));
    const views = [...tools, ...words, ...outcomes, { filters: { signature: "0" } }];
    return views.flatMap((view) => [view, {}]).map((view) => {
        const began = performance.now();
        app.change({ q: "", filters: {}, ...view });
        document.body.offsetHeight;
        return performance.now() - began;
    });
}"""
SORTS = """() => SORTS.map((sort) => {
    const began = performance.now();
    globalThis.fcReport.change({ q: "", filters: {}, sort, desc: true });
    document.body.offsetHeight;
    return [sort, performance.now() - began];
})"""
PIVOT = """async (row) => {
    const began = performance.now();
    globalThis.fcReport.change({ open: row });
    const isShown = () => document.querySelector("#pivot .content:not([aria-busy])") !== null;
    while (!isShown()) await new Promise(requestAnimationFrame);
    document.body.offsetHeight;
    const took = performance.now() - began;
    globalThis.fcReport.change({ open: null });
    return took;
}"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pivots", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report: Path = (options.report or _report(folder, options.pivots)).resolve()
        size = report.stat().st_size
        empty = folder / "empty.html"
        head, foot = '<!doctype html><title>empty</title><script type="text/plain">', "</script>"
        empty.write_text(head + "A" * (size - len(head) - len(foot)) + foot, encoding="utf-8")
        print(f"{report.name}: {size / 1e6:.1f} MB")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            opened, loaded = [], []
            for _ in range(options.rounds + 1):  # the first pair warms the caches, and is left out
                loaded.append(_opens(page, empty, "true"))
                opened.append(_opens(page, report, OPENED))
            one, other = median(opened[1:]), median(loaded[1:])
            print(f"opens in {one:.0f} ms, an empty page of its size in {other:.0f} ms: {one / other:.2f} times")
            _figures(page)
            browser.close()


def _opens(page: Page, path: Path, ready: str) -> float:
    """Return the milliseconds from the start of the navigation until the page is ready, by the page's own clock."""
    page.goto("about:blank")
    page.goto(path.as_uri(), wait_until="load")
    page.wait_for_function(ready)
    took: float = page.evaluate(
        """() => Math.max(performance.getEntriesByType("navigation")[0].loadEventEnd,
            performance.getEntriesByName("fc-ready")[0]?.startTime ?? 0)"""
    )
    return took


def _figures(page: Page) -> None:
    rows: int = page.evaluate("globalThis.fcReport.rows.count")
    first: list[float] = page.evaluate(FILTERS)
    times: list[float] = [took for _ in range(3) for took in page.evaluate(FILTERS)]
    print(f"{rows:,} rows: filters in {median(times):.1f} ms (median), {max(times):.1f} ms at most; "
          f"the slowest at first {max(first):.1f} ms")  # fmt: skip
    sorts: list[Any] = page.evaluate(SORTS)
    print("first sort by: " + ", ".join(f"{name} {took:.0f} ms" for name, took in sorts))
    pivots = [page.evaluate(PIVOT, row) for row in range(0, rows, max(1, rows // 20))]
    print(f"a pivot is shown in {median(pivots):.0f} ms (median), {max(pivots):.0f} ms at most")
    print(f"elements in the page: {page.evaluate('document.querySelectorAll(`*`).length'):,}")


def _report(folder: Path, pivots: int) -> Path:
    """Make data, a run of them and its report; returns the report."""
    (folder / "agent.py").write_text(AGENT, encoding="utf-8")

    def run(*command: str, codes: tuple[int, ...] = (0,)) -> None:
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if ended.returncode not in codes:
            sys.exit(
                f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}"
            )

    cli = (sys.executable, "-c", "import sys; from pytest_fcpivot.cli import main; sys.exit(main(sys.argv[1:]))")
    run(*cli, "synth", "fc-pivot", f"--pivots={pivots}", "-o", "data.jsonl")
    session = ("-m", "pytest", "data.jsonl", "--fc-agent=agent:answer", "-q", "--tb=no", "-p", "no:cacheprovider")
    run(sys.executable, *session, codes=(0, 1))
    (found,) = (folder / ".fcpivot").glob("2*")
    run(*cli, "report", str(found), "-o", "report.html")
    return folder / "report.html"


if __name__ == "__main__":
    main()
