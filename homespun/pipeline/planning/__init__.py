"""What a run decides by itself: how much text, which vocabulary, which model, how many steps; and why."""
