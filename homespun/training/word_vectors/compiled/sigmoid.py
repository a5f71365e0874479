"""1 / (1 + exp(-x)) without exp: a fraction of two polynomials, which many lanes can compute at once.

Out: the coefficients. sigmoid(x) = 1/2 + tanh(x / 2) / 2, and tanh(y) = y N(y^2) / D(y^2), from Lambert's continued
fraction y / (1 + y^2 / (3 + y^2 / (5 + ...))). For |y| up to ``LIMIT`` that is 3e-6 off at most, and beyond it the
sigmoid is 0 or 1 but for 2e-8.
"""

import numpy as np
from numpy.polynomial import Polynomial

STEPS = 11
LIMIT = 9.0
Coefficients = tuple[np.float32, ...]


def fraction_of_tanh(steps: int = STEPS) -> tuple[Coefficients, Coefficients]:
    """The coefficients of N and D, of the highest power first, so scaled that D(0) is 1."""
    numerator, denominator = Polynomial([1]), Polynomial([2 * steps - 1])
    for step in range(steps - 1, 0, -1):
        numerator, denominator = denominator, (2 * step - 1) * denominator + Polynomial([0, 1]) * numerator
    return descending(numerator, denominator.coef[0]), descending(denominator, denominator.coef[0])


def descending(polynomial: Polynomial, unit: float) -> Coefficients:
    """The coefficients in terms of ``unit``."""
    return tuple(np.float32(value / unit) for value in reversed(polynomial.coef))
