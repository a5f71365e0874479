"""Numbers -> words for people: ``12.3 M``, ``2.1 GB``, ``12 min 4 s``.

In: a number or ``None``. Out: short text; an en dash stands for what is not known. Sizes are decimal
(1 kB = 1000 bytes), as disks and datasheets count them.
"""

EN_DASH = "\u2013"
UNKNOWN = EN_DASH
MINUS = "\u2212"
TIMES = "\u00d7"
THIN = "\u202f"  # narrow no-break space: groups digits and ties a number to its unit
LARGE = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def decimal(value: float | None, places: int = 2) -> str:
    """A plain decimal number; scientific notation where plain digits would all be zeros or too many."""
    if value is None:
        return UNKNOWN
    if value != 0 and (abs(value) < 0.5 * 10**-places or abs(value) >= 1e7):
        return f"{value:.2e}"
    return f"{value:.{places}f}".replace("-", MINUS)


def significant(value: float | None, digits: int = 3) -> str:
    """``digits`` significant digits without an exponent where that stays readable."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        return f"{float(f'{value:.{digits}g}'):.10f}".rstrip("0").rstrip(".").replace("-", MINUS)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}".replace("-", MINUS)


def whole(value: float | None) -> str:
    """A whole number with its digits in groups of three."""
    return UNKNOWN if value is None else f"{value:,.0f}".replace(",", THIN).replace("-", MINUS)


def count(value: float | None) -> str:
    """A count in three significant digits with k, M, G, T; small ones in full."""
    if value is None:
        return UNKNOWN
    if abs(value) < 10_000:
        return whole(value) if value == int(value) or abs(value) >= 100 else significant(value)
    for size, letter in LARGE:
        if abs(value) >= size * 0.9995:
            return f"{significant(value / size)}{THIN}{letter}"
    return whole(value)


def size(value: float | None) -> str:
    """Bytes as B, kB, MB, GB."""
    if value is None:
        return UNKNOWN
    for unit, letter in LARGE:
        if abs(value) >= unit * 0.9995:
            return f"{significant(value / unit)}{THIN}{letter}B"
    return f"{value:.0f}{THIN}B"


def duration(seconds: float | None) -> str:
    """A time in the two largest units that matter: ``4.2 s``, ``12 min 4 s``, ``3 h 20 min``, ``2 d 3 h``."""
    if seconds is None:
        return UNKNOWN
    if seconds < 10:
        return f"{significant(max(seconds, 0.0), 2)}{THIN}s"
    total = round(seconds)
    if total < 60:
        return f"{total}{THIN}s"
    for unit, name, part, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if total >= unit:
            rest = total % unit // part
            return f"{total // unit}{THIN}{name}" + (f" {rest}{THIN}{part_name}" if rest else "")
    return f"{total}{THIN}s"


def percent(share: float | None) -> str:
    """A share (0 to 1) in percent; small ones with a decimal."""
    if share is None:
        return UNKNOWN
    hundredths = share * 100
    if hundredths and abs(hundredths) < 0.1:
        return f"under 0.1{THIN}%" if hundredths > 0 else f"0{THIN}%"
    return f"{hundredths:.{1 if abs(hundredths) < 10 else 0}f}{THIN}%".replace("-", MINUS)


def tenths(share: float | None) -> str:
    """A share (0 to 1) in percent, with one decimal: figures that are compared."""
    return UNKNOWN if share is None else f"{100 * share:.1f}{THIN}%".replace("-", MINUS)


def plural(number: float, one: str, many: str = "") -> str:
    """``1 document``, ``3 documents``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def plain(label: str) -> str:
    """A key of a JSON file as words: ``near_duplicates`` -> ``near duplicates``."""
    return label.replace("_", " ")
