"""Charts of a record by Altair: a specification for the page, and the same as SVG."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from robust_jax.core import extras
from robust_jax.report.site import series
from robust_jax.report.site.series import Points
from robust_jax.report.site.text import printable, slugs

# Okabe & Ito, "Color universal design" (2008), those that show on white and on black.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_WIDTH, _HEIGHT, _STEP = (
    620,
    260,
    22,
)  # of the still picture; on the page the width is the page's
_HEAD, _TAIL = 26, 18  # Letters of a long name that its label keeps.
_LETTERS = _HEAD + 1 + _TAIL
_DASHES = ([1, 0], [6, 3], [2, 2])  # A round of the colours each.
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


class Chart(NamedTuple):
    """A chart with what a reader needs beside it."""

    name: str  # of its files
    title: str
    caption: str
    spec: dict[str, Any]  # Vega-Lite's
    svg: str


def of_record(record: dict[str, Any]) -> list[Chart]:
    """All charts that a record's series give, in the order of the page."""
    kept = record["series"]
    made = [*_curves(kept), *_queries(kept), *_distances(kept), *_training(kept)]
    names = slugs(title for title, _, _ in made)
    return [_drawn(name, *each) for name, each in zip(names, made, strict=True)]


def funnel(rows: list[dict[str, Any]], name: str, title: str) -> Chart:
    """Images left after each stage, a bar for each.

    Args:
        rows: see `sections.funnel_rows`.
        name: of its files.
        title: of the chart.
    """
    alt = _altair()
    points = [{k: row[k] for k in ("stage", "left", "broken")} for row in rows]
    order = [point["stage"] for point in points]
    base = alt.Chart(alt.Data(values=points)).encode(
        y=alt.Y("stage:N", sort=order, title=None, axis=alt.Axis(labelLimit=200)),
        x=alt.X("left:Q", title="images left", scale=alt.Scale(zero=True)),
        tooltip=[
            alt.Tooltip("stage:N", title="after"),
            alt.Tooltip("left:Q", title="images left"),
            alt.Tooltip("broken:Q", title="broken here"),
        ],
    )
    bars = base.mark_bar(color=_COLOURS[0])
    counts = base.mark_text(align="left", dx=4).encode(text="left:Q")
    caption = "Each stage attacks the images that those before it left."
    return _drawn(
        name, title, caption, (bars + counts).properties(height=_height(order))
    )


def intervals(name: str, title: str, caption: str, points: Points) -> Chart:
    """Robust accuracies with their intervals, a line for each name."""
    alt = _altair()
    labels = _labels([point["name"] for point in points])
    points = [{**point, "label": labels[point["name"]]} for point in points]
    order = [point["label"] for point in points]
    base = alt.Chart(alt.Data(values=points)).encode(
        y=alt.Y("label:N", sort=order, title=None, axis=alt.Axis(labelLimit=0)),
        tooltip=[alt.Tooltip("name:N", title="of"), *_shares("value", "low", "high")],
    )
    scale = alt.Scale(domain=[0, 1])
    share = alt.Axis(format="%", title="robust accuracy")
    low, value = (
        alt.X(f"{key}:Q", scale=scale, axis=share) for key in ("low", "value")
    )
    bar = base.mark_rule(strokeWidth=2, color=_COLOURS[0]).encode(x=low, x2="high:Q")
    dot = base.mark_point(filled=True, size=70, color=_COLOURS[0]).encode(x=value)
    return _drawn(name, title, caption, (bar + dot).properties(height=_height(order)))


def so_far(points: Sequence[Any]) -> Chart:
    """Robust accuracy while an evaluation runs, of points as `live` has them."""
    alt = _altair()
    values = [{"name": "", "accuracy": p.value, **p._asdict()} for p in points]
    lines = _lines(values, "seconds", "seconds since it began", "accuracy")
    band = alt.Chart(alt.Data(values=values)).mark_area(opacity=0.18)
    band = band.encode(x="seconds:Q", y="low:Q", y2="high:Q", color=_colour(values))
    title, caption = "Robust accuracy so far", "An upper bound, with 95 % intervals."
    return _drawn("so_far", title, caption, alt.layer(band, lines))


def _labels(names: Sequence[str]) -> dict[str, str]:
    """Names without the middle of long ones, which Vega would take a second to cut."""
    made: dict[str, str] = {}
    for name in dict.fromkeys(names):
        short = name if len(name) <= _LETTERS else f"{name[:_HEAD]}…{name[-_TAIL:]}"
        same = sum(label.partition("\u00a0")[0] == short for label in made.values())
        made[name] = f"{short}\u00a0({same + 1})" if same else short
    return made


def _altair() -> Any:
    return extras.needed("altair", "pages", "report.site")


def _curves(kept: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    alt = _altair()
    for key, points in series.curves(kept):
        norm = key.partition("_")[2]
        lines = _lines(points, "eps", f"{norm} radius".strip(), "accuracy")
        parts = [lines]
        if any("low" in point for point in points):
            band = alt.Chart(alt.Data(values=points)).mark_area(opacity=0.18)
            band = band.encode(x="eps:Q", y="low:Q", y2="high:Q", color=_colour(points))
            parts = [band, lines]
        title = "Robust accuracy against the radius" + (f", {norm}" if norm else "")
        caption = "Bands are 95 % intervals." if len(parts) > 1 else ""
        yield title, caption, alt.layer(*parts)


def _queries(kept: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for _, points in series.queries(kept):
        shown = _lines(points, "queries", "queries", "robust_accuracy", log=True)
        title = "Robust accuracy against queries"
        yield title, "Queries of the model for an image, logarithmic.", shown


def _distances(kept: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    found = series.distances(kept)
    if found is None:
        return
    alt = _altair()
    shown = (
        alt.Chart(alt.Data(values=found.points))
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=alt.X("low:Q", title="distance of the adversarial image"),
            y=alt.Y("images:Q", title="images"),
            color=_colour(found.points),
            tooltip=[
                alt.Tooltip("name:N", title="attack"),
                alt.Tooltip("low:Q", format=".3~g", title="from"),
                alt.Tooltip("high:Q", format=".3~g", title="to"),
                "images:Q",
            ],
        )
    )
    lost = ", ".join(f"{k} {n:,}" for k, n in found.lost.items() if n)
    caption = "Of the images that the model gets right."
    yield (
        "Distances of adversarial images",
        caption + (f" Without any: {lost}." if lost else ""),
        shown,
    )


def _training(kept: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for _, points in series.losses(kept):
        yield "Training loss", "", _lines(points, "epoch", "epoch", "loss")
    for _, points in series.accuracies(kept):
        shown = _lines(points, "epoch", "epoch", "accuracy")
        yield "Accuracy while training", "", shown


def _lines(points: Points, x: str, xlabel: str, y: str, log: bool = False) -> Any:
    """Lines with points that tell their numbers."""
    alt = _altair()
    is_share = "accuracy" in y
    scale = alt.Scale(domain=[0, 1]) if is_share else alt.Scale(zero=True)
    axis = alt.Axis(format="%") if is_share else alt.Axis()
    label = "robust accuracy" if x in ("eps", "queries") else y
    told = (
        _shares(y, "low", "high")
        if is_share
        else [alt.Tooltip(f"{y}:Q", format=".4~g")]
    )
    names = [alt.Tooltip("name:N", title="of")] if len(_names(points)) > 1 else []
    keys = set.intersection(*(set(point) for point in points))  # None tells NaN.
    told = [tip for tip in told if tip.shorthand.partition(":")[0] in keys]
    return (
        alt.Chart(alt.Data(values=points))
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=36, filled=True))
        .encode(
            x=alt.X(
                f"{x}:Q",
                title=xlabel,
                scale=alt.Scale(type="log") if log else alt.Undefined,
            ),
            y=alt.Y(f"{y}:Q", title=label, scale=scale, axis=axis),
            color=_colour(points),
            **_marked(points),
            tooltip=[*names, alt.Tooltip(f"{x}:Q", format=".4~g", title=xlabel), *told],
        )
    )


def _shares(*keys: str) -> list[Any]:
    alt = _altair()
    titles = {"low": "95 % from", "high": "95 % to", "value": "robust accuracy"}
    return [
        alt.Tooltip(
            f"{key}:Q", format=".1%", title=titles.get(key, key.replace("_", " "))
        )
        for key in keys
    ]


def _height(names: list[str]) -> int:
    """Of a chart with a line for each different name: Vega fits no steps."""
    return _STEP * len(set(names))


def _names(points: Points) -> list[str]:
    return list(dict.fromkeys(point["name"] for point in points))


def _colour(points: Points) -> Any:
    """A colour for each name."""
    alt, names = _altair(), _names(points)
    if len(names) == 1:
        return alt.value(_COLOURS[0])
    return alt.Color("name:N", scale=_scale(names, _COLOURS, 1), legend=_legend())


def _legend() -> Any:
    """One for colours, shapes and dashes; below, since pages are narrow."""
    look = {"orient": "bottom", "columns": 2, "labelLimit": 260, "symbolOpacity": 1}
    look["symbolLimit"] = 0  # Else Vega leaves out all beyond 30, and warns.
    return _altair().Legend(title=None, **look)


def _marked(points: Points) -> dict[str, Any]:
    """Shapes and dashes beside colours, so that each alone tells."""
    alt, names = _altair(), _names(points)
    if len(names) == 1:
        return {}
    shapes, dashes = _scale(names, _SHAPES, 1), _scale(names, _DASHES, len(_COLOURS))
    return {
        "shape": alt.Shape("name:N", scale=shapes, legend=_legend()),
        "strokeDash": alt.StrokeDash("name:N", scale=dashes, legend=_legend()),
    }


def _scale(names: list[str], values: Sequence[Any], each: int) -> Any:
    """A value for so many names each, then the next one, and round again."""
    chosen = [values[(i // each) % len(values)] for i in range(len(names))]
    return _altair().Scale(domain=names, range=chosen)


def _drawn(name: str, title: str, caption: str, shown: Any) -> Chart:
    alt = _altair()
    look = {"view": {"stroke": None}, "background": "white"}
    # Altair has checked each part when it was made, and the converter reads the whole.
    spec = shown.properties(width=_WIDTH, config=look).to_dict(validate=False)
    spec = printable(spec)
    spec.setdefault("height", _HEIGHT)
    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    convert = extras.needed("vl_convert", "pages", "report.site")
    return Chart(name, title, caption, spec, convert.vegalite_to_svg(spec, version))
