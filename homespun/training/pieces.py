"""How many logits there are at a time: what makes them, and what counts their memory, take this number from here."""

LOGITS_AT_ONCE = 1 << 24  # 64 MiB in fp32
