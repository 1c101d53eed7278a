"""Names that would be scripts, paths or formulas are shown as what they are: texts."""

import csv
import json
import os
import re

import pytest

from robust_jax.report.site import build
from tests import saved_runs

HIT = "window.__hit=1"
PAYLOADS = {
    "script": f"<script>{HIT}</script>",
    "end of script": f"</script><script>{HIT}</script>",
    "end of style": f"</style><script>{HIT}</script>",
    "end of title": f"</title></textarea></noscript><script>{HIT}</script>",
    "image": f"<img src=x onerror={HIT}>",
    "svg": f'"><svg onload={HIT}><animate onbegin={HIT}></svg>',
    "single quote": f"' onmouseover='{HIT}",
    "double quote": f'" autofocus onfocus="{HIT}',
    "no quote": f"x onclick={HIT} y",
    "comment": f"<!--<script>{HIT}//-->",
    "end of comment": f"--><script>{HIT}</script><!--",
    "cdata": f"]]><script>{HIT}</script>",
    "frame": f'<iframe srcdoc="<script>parent.__hit=1</script>" onload={HIT}>',
    "link": f'<a href="javascript:{HIT}">x</a>',
    "address": f"javascript:{HIT}",
    "details": f"<details open ontoggle={HIT}>",
    "twice escaped": f"&lt;script&gt;{HIT}&lt;/script&gt;",
    "template": "{{7*7}}{{ config }}{% for x in 'ab' %}{{x}}{% endfor %}{#",
    "template literal": f"${{{HIT}}}`;{HIT}//",
    "end of json": f'"}}]}};{HIT};//',
    "expression": f"datum.x; constructor.constructor('{HIT}')()",
    "style": "x;background:url(http://127.0.0.1:1/a)}*{color:red",
    "meta": "<meta http-equiv=refresh content=0;url=http://127.0.0.1:1/>",
    "base": '<base href="http://127.0.0.1:1/"><link rel=stylesheet href=a>',
    "line separator": f"a\u2028{HIT}//\u2029b",
    "right to left": "invoice\u202egnp.exe\u2066",
    "null": f"a\x00<b\x00 onclick={HIT}>\x08\x1b[31m",
    "path": "../../../../../../etc/passwd",
    "formula": '=HYPERLINK("http://127.0.0.1:1/a","b")',
    "command": "@SUM(1+1)*cmd|' /C calc'!A0",
    "long": "long" * 500,
    "half a letter": "a\ud800b",
}
NAMES = list(PAYLOADS.values())
# Neither HTML nor XML has these.
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
DANGEROUS = """() => {
  const found = [];
  for (const e of document.querySelectorAll('*')) {
    if (/^(iframe|object|embed|base|animate|math|b|textarea)$/.test(e.localName)) {
      found.push(e.localName);
    }
    for (const {name, value} of e.attributes) {
      if (/^on|^srcdoc$/.test(name)) found.push(name);
      if (/^(href|src|action)$/.test(name) && /^\\s*(javascript|https?):/.test(value)) {
        found.push(`${name}=${value}`);
      }
    }
  }
  return found;
}"""


def shown(text):
    """A payload as a page has it."""
    said = UNPRINTABLE.sub("\ufffd", text)
    return " ".join(said.split())


def named_by_payloads():
    """A record with payloads wherever it has a text."""
    n = 4 * len(NAMES)
    share = {"successes": 1, "n": 2}
    record = saved_runs.record(classes=NAMES, n=n)
    worst = {"attack": "worst case", "n": n, "accuracy": share}
    models = [{"model": name, "threat": name, **worst} for name in NAMES]
    texts = {key: "; ".join(NAMES) for key in ("title", "summary", "command")}
    record |= texts | {"notes": NAMES, "rows": models}
    record["flags"] = {name: name for name in NAMES}
    record["environment"] = {name: [name] for name in NAMES}
    finding = {"number": 1, "value": 1.0, "points": 4, "remedy": NAMES[0]}
    judged = record["series"]["evaluation"]
    judged |= {"model": NAMES[0], "threat": NAMES[0], "citation": "; ".join(NAMES)}
    judged["ledger"] = [{"stage": NAMES[0]}, {"stage": NAMES[1]}]
    short = [name for name in NAMES if len(name) < 40]  # Others take Vega seconds.
    judged["rows"] = [
        {"attack": name, "n": n, "accuracy": {"successes": n - at, "n": n}}
        for at, name in enumerate(["none", *short])
    ]
    judged["audit"] = {
        "findings": [
            {**finding, "name": name, "verdict": "flag", "says": name, "limit": name}
            for name in NAMES
        ],
        "forwards": 1, "backwards": 1, "seconds": 1.0,
    }  # fmt: skip
    curve = {"eps": [0, 1], "accuracy": [1, 0.5], "low": [1, 0.4], "high": [1, 0.6]}
    record["series"]["curve"] = dict.fromkeys(short, curve)
    record["series"]["tables"] = {name: [{name: name}] for name in NAMES}
    return record


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A site of a run of that record, and of one that cannot be read."""
    folder = tmp_path_factory.mktemp("hostile")
    name = NAMES[4].replace("/", "") + "'\" {{7*7}}"
    run = saved_runs.save(
        folder / name,
        saved_runs.record(),
        saved_runs.arrays(4 * len(NAMES), classes=len(NAMES)),
    )
    (run / "record.json").write_text(
        json.dumps(named_by_payloads())
    )  # With half a letter in it.
    broken = folder / NAMES[5].replace("/", "")
    broken.mkdir()
    (broken / "record.json").write_text("{}")
    build.site(
        [run, broken],
        folder / "site",
        baseline=run,
        title=NAMES[0] + PAYLOADS["template"],
    )
    return folder / "site"


def pages(site):
    [run] = (site / "runs").iterdir()
    return {"index": site / "index.html", "run": run / "index.html"}


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("which", ["index", "run"])
def test_no_payload_runs_and_all_are_shown(chromium, hostile, which, scripts):
    with chromium.page(
        pages(hostile)[which], width=chromium.PHONE, scripts=scripts
    ) as page:
        assert page.evaluate("window.__hit") is None
        assert page.evaluate(DANGEROUS) == []
        body = page.evaluate("document.body.textContent")
        text = " ".join(body.split())
        missing = [name for name, each in PAYLOADS.items() if shown(each) not in text]
        assert missing == []
        assert not UNPRINTABLE.search(body)
        assert shown(NAMES[0]) in page.title() and "{{7*7}}" in page.title()
        chromium.fits(page)
        chromium.shot(
            page, f"hostile_{which}_{'scripts' if scripts else 'still'}", whole=False
        )


def test_no_payload_runs_where_it_is_used(chromium, hostile):
    """Chosen, enlarged, searched for and pointed at."""
    with chromium.page(pages(hostile)["run"]) as page:
        for at in (0, 4, 5, 23):
            page.locator("select[name=label]").select_option(str(at))
            page.locator(".card:not([hidden]) .pictures").first.click()
            page.keyboard.press("Escape")
        for mark in page.locator(".live svg .mark-rect path").all()[:6]:
            mark.hover(force=True)
        assert page.evaluate("window.__hit") is None
        assert page.evaluate(DANGEROUS) == []
    with chromium.page(pages(hostile)["index"]) as page:
        page.get_by_role("searchbox").fill(PAYLOADS["image"])
        for choice in page.locator(".filters select").all():
            choice.select_option(index=1)
        assert page.evaluate("window.__hit") is None
        assert page.evaluate(DANGEROUS) == []


def test_files_stay_inside_and_their_names_are_plain(hostile):
    for folder, _, files in os.walk(hostile):
        for file in files:
            assert re.fullmatch(r"[a-z0-9-]+\.[a-z]+", file), file
        assert "etc" not in os.listdir(folder)


def test_no_cell_of_a_csv_is_a_formula(hostile):
    seen = 0
    for file in hostile.rglob("*.csv"):
        with file.open(newline="", encoding="utf-8") as lines:
            cells = [cell for line in csv.reader(lines) for cell in line]
        assert not [cell for cell in cells if cell.startswith(("=", "@", "+"))]
        seen += sum(cell.startswith("'=") for cell in cells)
    assert seen
