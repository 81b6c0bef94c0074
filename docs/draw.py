"""Draws the pictures of the explanation pages: `python -m docs.draw`. The engine computes every number in them."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from statistics import NormalDist

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from scipy.ndimage import gaussian_filter

from zoo.smoothing import Certificate, SmoothedClassifier, SmoothingSpec
from zoo.smoothing.bounds import clopper_pearson_lower
from zoo.smoothing.certificate import certified_radius

FOLDER = Path(__file__).parent / "pictures"
SIGMA, ALPHA = 0.12, 0.001
POINT = (0.33, 0.42)
FILLS = ("#cfe2f3", "#fbe0c3", "#d5ead2")
EDGES = ("#1f5fa8", "#a85a00", "#2f7d32")
NAMES = ("cat", "dog", "bird")
STEPS = 401  # of the grid on which the votes are counted, over [-0.5, 1.5]
SEEN = slice(99, 302)  # the part of that grid that is drawn, over [0, 1]
LAYOUT = "constrained"
DRAWS = (100, 1_000, 10_000, 100_000)


def classify(x_BCHW: torch.Tensor) -> torch.Tensor:
    """Logits of a base classifier of "images" of two pixels: three classes with a ragged border and two islands."""
    a, b = x_BCHW[:, 0, 0, 0], x_BCHW[:, 0, 0, 1]
    ragged = 0.05 * torch.sin(22 * b) + 0.03 * torch.sin(47 * b + 1)
    is_dog = (a > 0.62 + ragged) & (b < 0.7 + 0.04 * torch.sin(25 * a))
    is_bird = b >= 0.7 + 0.04 * torch.sin(25 * a) + 0.25 * (0.5 - a).clamp(min=0)
    island = ((a - 0.37) ** 2 + (b - 0.47) ** 2 < 0.025**2) | ((a - 0.2) ** 2 + (b - 0.3) ** 2 < 0.03**2)
    label = torch.where(is_bird, 2, torch.where(is_dog | island, 1, 0))
    return torch.nn.functional.one_hot(label, 3).float()


def smoothed() -> SmoothedClassifier:
    """The smoothed classifier of `classify`."""
    spec = SmoothingSpec(sigma=SIGMA, n0=100, n=10_000, alpha=ALPHA)
    return SmoothedClassifier(classify, num_classes=3, smoothing=spec)


def certificate() -> Certificate:
    """The certificate of the image at POINT, with a fixed seed."""
    x_CHW = torch.tensor(POINT).reshape(1, 1, 2)
    return smoothed().certify(x_CHW, generator=torch.Generator().manual_seed(0))


def draw_ball() -> Figure:
    """The base classifier with noisy copies of an image, and the smoothed classifier with the certified ball."""
    figure = Figure(figsize=(8.6, 4.5), layout=LAYOUT)
    left, right = figure.subplots(1, 2)
    steps = torch.linspace(-0.5, 1.5, STEPS)
    votes = classify(torch.cartesian_prod(steps, steps).reshape(-1, 1, 1, 2)).reshape(STEPS, STEPS, 3)
    base = votes.argmax(2).T
    probabilities = np.stack(
        [gaussian_filter(votes[..., k].T.numpy(), SIGMA * (STEPS - 1) / 2) for k in range(3)], axis=2
    )
    noise = torch.randn((160, 1, 1, 2), generator=torch.Generator().manual_seed(1)) * SIGMA
    given = certificate()
    for axes, title in ((left, "base classifier: the network"), (right, "smoothed classifier: the vote")):
        axes.set_title(title, fontsize=11)
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], aspect="equal")
    seen = steps[SEEN]
    left.contourf(seen, seen, base[SEEN, SEEN], levels=[-0.5, 0.5, 1.5, 2.5], colors=FILLS)
    for index, fill in enumerate(FILLS):  # the margin of a class over the others interpolates to a smooth border
        margin = probabilities[..., index] - np.delete(probabilities, index, axis=2).max(axis=2)
        right.contourf(seen, seen, margin[SEEN, SEEN], levels=[0, 2], colors=[fill])
    copies = torch.tensor(POINT) + noise[:, 0, 0]
    labels = classify(copies.reshape(-1, 1, 1, 2)).argmax(1)
    for index, color in enumerate(EDGES):
        left.scatter(
            *copies[labels == index].T, s=9, color=color, label=f"{int((labels == index).sum())} {NAMES[index]}"
        )
        for axes in (left, right):
            axes.text(*((0.08, 0.06), (0.84, 0.5), (0.45, 0.93))[index], NAMES[index], color=color, fontsize=11)
    left.legend(title="160 noisy copies", loc="lower right", fontsize=8, title_fontsize=8, framealpha=1)
    right.add_patch(Circle(POINT, given.radius, fill=False, color="black", linewidth=1.6))
    edge = (POINT[0] + given.radius * 0.7, POINT[1] - given.radius * 0.7)
    right.annotate(
        f"certified radius\n{given.radius / SIGMA:.2f} sigma", edge,
        xytext=(0.6, 0.06), fontsize=9, arrowprops={"arrowstyle": "-", "linewidth": 0.8},
    )  # fmt: skip
    for axes in (left, right):
        axes.plot(*POINT, marker="o", color="black", markersize=5)
        axes.text(
            POINT[0] - 0.035, POINT[1] - 0.015, "image", ha="right", fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85},
        )  # fmt: skip
    return figure


def draw_radius() -> Figure:
    """The radius in units of sigma over the probability of the class, and the largest radius of n draws."""
    figure = Figure(figsize=(7.4, 4.2), layout=LAYOUT)
    axes = figure.subplots()
    p_a = np.linspace(0.5, 0.99999, 2000)
    axes.plot(p_a, [NormalDist().inv_cdf(p) for p in p_a], color=EDGES[0], linewidth=2)
    for n in DRAWS:
        limit = largest_radius(n)
        axes.axhline(limit, color="#767676", linewidth=0.8, linestyle="--")
        axes.text(0.503, limit + 0.05, f"largest radius of {n:,} draws: {limit:.2f} sigma", fontsize=9, color="#333333")
    axes.set(xlim=(0.5, 1), ylim=(0, 4.2), ylabel="radius in units of sigma")
    axes.set_xlabel("probability p that a noisy copy gets the class")
    _plain(axes)
    return figure


def largest_radius(n: int, *, sigma: float = 1.0) -> float:
    """The radius if all n draws agree, at alpha 0.001: no more draws can vote for the class."""
    return certified_radius(clopper_pearson_lower(n, n, ALPHA), sigma)


def draw_votes() -> Figure:
    """Three images of 1,000 votes each: what is counted, what is proved, and what radius follows."""
    figure = Figure(figsize=(8.6, 3.1), layout=LAYOUT)
    votes = ((985, "easy"), (700, "hard"), (520, "undecided"))
    for axes, (count, name) in zip(figure.subplots(1, 3), votes, strict=True):
        bound = clopper_pearson_lower(count, 1_000, ALPHA)
        axes.barh([1, 0], [count, 1_000 - count], color=[EDGES[0], EDGES[1]], height=0.62)
        axes.axvline(500, color="black", linewidth=0.8)
        axes.plot([1_000 * bound] * 2, [0.6, 1.4], color="black", linewidth=2.4)
        axes.annotate("bound", (1_000 * bound, 1.4), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=8)
        radius = f"radius {certified_radius(bound, 1.0):.2f} sigma" if bound > 0.5 else "abstains: radius 0"
        axes.set_title(f"{name}: {radius}", fontsize=10)
        axes.set(xlim=(0, 1_030), ylim=(-0.5, 1.75), yticks=[1, 0], xticks=[0, 500, 1_000])
        axes.set_yticklabels(["cat", "all others"], fontsize=9)
        axes.set_xlabel("votes of 1,000 noisy copies", fontsize=9)
        _plain(axes)
    return figure


def draw_noise() -> Figure:
    """A handwritten digit under the noise of four sigmas: what the network sees."""
    from sklearn.datasets import load_digits

    digit = torch.tensor(load_digits().images[4] / 16).float()
    image = torch.nn.functional.interpolate(digit[None, None], size=(32, 32), mode="bilinear")[0, 0]
    noise = torch.randn((32, 32), generator=torch.Generator().manual_seed(0))
    figure = Figure(figsize=(8.6, 2.5), layout=LAYOUT)
    for axes, sigma in zip(figure.subplots(1, 4), (0.0, 0.25, 0.5, 1.0), strict=True):
        axes.imshow((image + sigma * noise).clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        limit = f"no radius above {largest_radius(10_000, sigma=sigma):.2f}" if sigma else "the image"
        axes.set_title(f"sigma {sigma:g}\n{limit}", fontsize=10)
        axes.axis("off")
    return figure


def draw_sigma() -> Figure:
    """The largest radius for four sigmas over the number of draws."""
    figure = Figure(figsize=(7.4, 4.2), layout=LAYOUT)
    axes = figure.subplots()
    draws = np.unique(np.geomspace(20, 1_000_000, 120).astype(int))
    for sigma, color in ((1.0, "#6a3d9a"), (0.5, EDGES[0]), (0.25, EDGES[2]), (0.12, EDGES[1])):
        radii = [largest_radius(int(n), sigma=sigma) for n in draws]
        axes.plot(draws, radii, color=color, linewidth=2)
        axes.text(draws[-1] * 1.1, radii[-1], f"sigma {sigma:g}", va="center", color=color, fontsize=10)
    axes.set(xscale="log", xlim=(20, 1_000_000), ylim=(0, None), ylabel="largest radius (l2, pixels in [0, 1])")
    axes.set_xlabel("draws n (rule fixed, alpha 0.001)")
    _plain(axes)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


PICTURES = {"ball": draw_ball, "radius": draw_radius, "votes": draw_votes, "noise": draw_noise, "sigma": draw_sigma}


def save(figure: Figure, path: Path) -> None:
    """Writes an SVG file that depends on the figure only, without needless digits and spaces."""
    layout = figure.get_layout_engine()
    assert layout is not None
    layout.set(w_pad=0.08, h_pad=0.08)  # type: ignore[call-arg]
    with mpl.rc_context({"svg.hashsalt": "certified-zoo", "font.family": "DejaVu Sans"}):
        figure.savefig(svg := StringIO(), format="svg", metadata={"Date": None}, facecolor="white")
    path.write_text(compact(svg.getvalue()))


def compact(svg: str) -> str:
    """The drawing with coordinates in hundredths of a point, and without indentation.

    Outlines of letters have whole coordinates, which stay.
    """
    svg = re.sub(r' (d|x|y|width|height)="[^"]*"', lambda found: _compact_numbers(found[0]), svg)
    return re.sub(r"\n\s*", "\n", svg)


def _compact_numbers(attribute: str) -> str:
    rounded = re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), attribute)
    return re.sub(r"\s*([MLHVQCz])\s*", r"\1", rounded)


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        save(draw(), FOLDER / f"{name}.svg")
