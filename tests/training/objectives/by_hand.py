"""The published losses and attacks again, an image and a scalar at a time, in float64.

Written from the papers and their authors' code, not from ours, and meant to be read beside them: nothing is vectorized
over images, and no function of `training` is used.
"""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from statistics import NormalDist

import torch
from torch import Tensor, nn

LossOf = Callable[[Tensor], Tensor]


def probabilities(logits_K: Tensor) -> list[Tensor]:
    exponentials = [torch.exp(logit) for logit in logits_K]
    return [exponential / sum(exponentials) for exponential in exponentials]


def cross_entropy(logits_K: Tensor, label: int) -> Tensor:
    return -torch.log(probabilities(logits_K)[label])


def kl(p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
    return sum(a * torch.log(a / b) for a, b in zip(p, q, strict=True))


def entropy(p: Sequence[Tensor]) -> Tensor:
    return -sum(a * torch.log(a) for a in p)


def mean_of(several: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    return [sum(values) / len(several) for values in zip(*several, strict=True)]


def answer(model, x_CHW: Tensor) -> Tensor:
    """The logits of one image."""
    return model(x_CHW[None])[0]


def smoothed(model, x_CHW: Tensor, noises: Sequence[Tensor]) -> list[Tensor]:
    """The mean over the noises of the softmax: the soft smoothed classifier."""
    return mean_of([probabilities(answer(model, x_CHW + noise)) for noise in noises])


def smoothed_loss_of(model, noises: Sequence[Tensor], label: int) -> LossOf:
    """What SmoothAdv's adversary raises (Salman et al. 2019, equation 6)."""
    return lambda x_CHW: -torch.log(smoothed(model, x_CHW, noises)[label])


def norm_of(x: Tensor) -> float:
    return math.sqrt(sum(value**2 for value in x.flatten().tolist()))


def gradient(loss_of: LossOf, x_CHW: Tensor) -> Tensor:
    x_CHW = x_CHW.detach().clone().requires_grad_()
    return torch.autograd.grad(loss_of(x_CHW), x_CHW)[0]


def shrunk(delta: Tensor, epsilon: float) -> Tensor:
    """The change, scaled down to an l2 norm of epsilon if it is longer."""
    norm = norm_of(delta)
    return delta * (epsilon / norm) if norm > epsilon else delta


def ascend(loss_of: LossOf, x_CHW: Tensor, *, norm, epsilon, step, num_steps, start=None, keep_best=False) -> Tensor:
    """PGD on one image as in MadryLab's library: step, ball, box; the best of all iterates with `keep_best`."""
    current = x_CHW if start is None else start
    visited = [current]
    for _ in range(num_steps):
        slope = gradient(loss_of, current)
        if norm == "l2":
            current = current + step * slope / (norm_of(slope) + 1e-10)
            current = x_CHW + shrunk(current - x_CHW, epsilon)
        else:
            current = current + step * slope.sign()
            current = x_CHW + (current - x_CHW).clamp(-epsilon, epsilon)
        current = current.clamp(0, 1)
        visited.append(current)
    return max(visited, key=lambda image: loss_of(image).item()) if keep_best else current


def majority(votes: Sequence[int]) -> int:
    """The most frequent vote; of equals the smallest, as torch.mode answers."""
    return min(set(votes), key=lambda vote: (-votes.count(vote), vote))


def ddn(model, x_CHW: Tensor, noises: Sequence[Tensor], label: int, *, max_norm, num_steps, gamma=0.05) -> Tensor:
    """Decoupled direction and norm on one image, as in the published code of SmoothAdv but for its last rounding.

    There the learning rate has taken its first cosine step before the first use, and what the last step reaches is not
    looked at.
    """
    delta, norm = torch.zeros_like(x_CHW), max_norm
    worst = norm_of(torch.maximum(x_CHW, 1 - x_CHW))
    best, best_norm = torch.zeros_like(x_CHW), worst
    for i in range(num_steps):
        rate = 0.01 + 0.99 * (1 + math.cos(math.pi * (i + 1) / num_steps)) / 2
        votes = [int(answer(model, x_CHW + delta + noise).argmax()) for noise in noises]
        is_fooled = majority(votes) != label
        if is_fooled and norm_of(delta) < best_norm:
            best, best_norm = delta, norm_of(delta)
        slope = gradient(smoothed_loss_of(model, noises, label), x_CHW + delta)
        delta = delta + rate * slope / norm_of(slope)
        norm = min(norm * (1 - gamma if is_fooled else 1 + gamma), worst)
        delta = delta * norm / norm_of(delta)
        delta = (((x_CHW + delta) * 255).round() / 255).clamp(0, 1) - x_CHW
    return x_CHW + shrunk(best, max_norm)


def mean_cross_entropy(logits_BK: Tensor, labels: Sequence[int]) -> Tensor:
    return sum(cross_entropy(row, label) for row, label in zip(logits_BK, labels, strict=True)) / len(labels)


def consistency(logits_MBK: Tensor, labels: Sequence[int], *, lbd, eta, weight=1.0) -> Tensor:
    """Jeong and Shin 2020, equations 8 and 9."""
    m, total = len(logits_MBK), 0
    for b, label in enumerate(labels):
        several = [probabilities(logits_MBK[i, b]) for i in range(m)]
        mean = mean_of(several)
        total += sum(-torch.log(p[label]) for p in several) / m
        total += weight * (lbd / m * sum(kl(mean, p) for p in several) + eta * entropy(mean))
    return total / len(labels)


def trades(logits_BK: Tensor, adversarial_BK: Tensor, labels: Sequence[int], *, beta) -> Tensor:
    """Zhang et al. 2019, equation 5."""
    total = 0
    for clean, moved, label in zip(logits_BK, adversarial_BK, labels, strict=True):
        total += cross_entropy(clean, label) + beta * kl(probabilities(clean), probabilities(moved))
    return total / len(labels)


def macer(logits_MBK: Tensor, labels: Sequence[int], *, sigma, lbd, beta, gamma) -> tuple[float, int]:
    """Zhai et al. 2020, equation 11, and how many images are in the set S."""
    m, total, members = len(logits_MBK), 0.0, 0
    for b, label in enumerate(labels):
        mean = mean_of([probabilities(logits_MBK[i, b]) for i in range(m)])
        total += -math.log(mean[label].item() + 1e-10)
        sharp = [p.item() for p in mean_of([probabilities(logits_MBK[i, b] * beta) for i in range(m)])]
        second, first = sorted(sharp)[-2:]
        if sharp[label] != first or not (second > 0 and first < 1):
            continue
        margin = NormalDist().inv_cdf(first) - NormalDist().inv_cdf(second)
        if abs(margin) <= gamma:
            total += lbd * sigma / 2 * (gamma - margin)
            members += 1
    return total / len(labels), members


def smoothmix(
    model, images, labels, noises_of, *, num_steps, alpha, eta, weight, shares, one_step=False
) -> tuple[Tensor, int]:
    """Jeong et al. 2021, equations 8 to 11, and how many images the smoothed classifier gets right."""
    plain, mixed, num_right, count = 0, 0, 0, 0
    for x_CHW, label, noises, share in zip(images, labels, noises_of, shares, strict=True):
        current, first = x_CHW, x_CHW
        for step in range(num_steps):
            slope = gradient(smoothed_loss_of(model, noises, label), current)
            current = (current + alpha * slope / norm_of(slope)).clamp(0, 1)
            if one_step and step == 0:
                first = x_CHW + shrunk(current - x_CHW, weight * alpha)
        clean = smoothed(model, first, noises)
        target = [(1 - share) * p + share / len(clean) for p in clean]
        is_right = max(range(len(clean)), key=lambda k: clean[k].item()) == label
        num_right += is_right
        for noise in noises:
            count += 1
            plain += cross_entropy(answer(model, first + noise), label)
            there = probabilities(answer(model, (1 - share) * first + share * current + noise))
            mixed += is_right * kl(target, there)
    return plain / count + eta * weight * mixed / count, num_right


def nt_xent(first: Sequence[Sequence[Tensor]], second: Sequence[Sequence[Tensor]], *, temperature) -> Tensor:
    """Chen et al. 2020, equation 1, averaged over all views; rows b of both are views of image b, of any length."""
    views = [*first, *second]
    size, total = len(first), 0

    def similarity(u, v):
        dot = sum(a * b for a, b in zip(u, v, strict=True))
        return dot / (sum(a * a for a in u) ** 0.5 * sum(b * b for b in v) ** 0.5)

    for i, view in enumerate(views):
        partner = views[(i + size) % (2 * size)]
        others = sum(torch.exp(similarity(view, other) / temperature) for k, other in enumerate(views) if k != i)
        total += -torch.log(torch.exp(similarity(view, partner) / temperature) / others)
    return total / len(views)


def with_perturbed_weights(network: nn.Module, loss_of: Callable[[nn.Module], Tensor], *, gamma: float) -> nn.Module:
    """A copy after one ascent step of a proxy, scaled layer by layer (Wu et al. 2020, algorithm 1, and their code)."""
    proxy, moved = deepcopy(network), deepcopy(network)
    optimizer = torch.optim.SGD(proxy.parameters(), lr=0.01)
    optimizer.zero_grad()
    (-loss_of(proxy)).backward()
    optimizer.step()
    weights, after, ours = (dict(each.named_parameters()) for each in (network, proxy, moved))
    with torch.no_grad():
        for name, weight in weights.items():
            if weight.dim() > 1:
                change = after[name] - weight
                ours[name].add_(gamma * weight.norm() / (change.norm() + 1e-20) * change)
    return moved
