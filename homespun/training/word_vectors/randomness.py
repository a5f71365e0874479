"""Random numbers that Python and machine code make alike.

In: a seed, an epoch and a chunk of the text. Out: a stream of numbers below 2^31 of its own for each chunk, so that
what is drawn does not depend on which thread comes first.

The generator is linear modulo 2^64 with Knuth's constants (MMIX; The Art of Computer Programming, volume 2, section
3.3.4); its upper 31 bits are used, the good ones. The kernel has the same in ``compiled/draws.py``.
"""

MULTIPLIER = 6364136223846793005
INCREMENT = 1442695040888963407
DRAW_BITS = 31
WORD = 1 << 64
WORD_BITS = 64


class Draws:
    """A stream of random numbers; ``state`` can be given to a kernel and taken back."""

    def __init__(self, state: int) -> None:
        """Begin at a state."""
        self.state = state % WORD

    def draw(self) -> int:
        """The next number, 0 to 2^31 - 1."""
        self.state = (self.state * MULTIPLIER + INCREMENT) % WORD
        return self.state >> (WORD_BITS - DRAW_BITS)

    def below(self, bound: int) -> int:
        """The next number, 0 to ``bound`` - 1, for bounds up to 2^31."""
        return self.draw() * bound >> DRAW_BITS


def first_state(seed: int, epoch: int, chunk: int) -> int:
    """The state in which a chunk of the text begins, as a signed 64-bit number.

    Neighbouring seeds and chunks are torn apart by the finalizer of SplitMix64 (Steele et al. 2014), once for each.
    """
    state = 0
    for part in (seed, epoch, chunk):
        state = mix((state + part + 0x9E3779B97F4A7C15) % WORD)
    return state - WORD if state >= WORD // 2 else state


def mix(state: int) -> int:
    """SplitMix64's finalizer."""
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % WORD
    state = (state ^ state >> 27) * 0x94D049BB133111EB % WORD
    return state ^ state >> 31
