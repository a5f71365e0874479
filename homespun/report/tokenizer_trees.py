"""A learned token -> a drawing (SVG) of how its bytes were joined, merge by merge.

In: a ``Tokenizer`` and perhaps how often each token was used. Out: the tokens worth a drawing, and their trees: the
token on top, its bytes at the bottom, and on each node the number of the merge that made it.

Every token that is not a byte was made by exactly one merge of two earlier tokens, so its tree is always the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from homespun.report.markup import escape
from homespun.report.token_pictures import VISIBLE
from homespun.report.tokenizer_measure import BLOCKS, different_words, dominant_script, is_text, repeats_itself
from homespun.report.wording import whole
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.tokenizer import Tokenizer

MOST_TREES = 12
LONGEST_TREE = 24  # bytes; the drawing of a longer one would have to be scrolled
FEWEST_MERGES = 3
WITHOUT_SPACES = ("CJK", "Kana", "Hangul", "Thai")  # two letters are a word there
MOST_FREQUENT = 400  # of each script; the longest of these are drawn
SLOT, ROW, NODE_HEIGHT, MARGIN = 26, 50, 34, 4
CHARACTER = 8.2  # width of one in a node


@dataclass
class Node:
    """A token in a tree: in the order of learning, with its place."""

    token: int
    raw: bytes
    first: int  # the leaf it begins with
    children: tuple["Node", ...] = ()

    @property
    def height(self) -> int:
        """How many rows there are below it."""
        return 1 + max(child.height for child in self.children) if self.children else 0

    @property
    def centre(self) -> float:
        """Where its middle is from left to right."""
        return MARGIN + SLOT * (self.first + len(self.raw) / 2)


def interesting_tokens(tokenizer: Tokenizer, uses: Mapping[int, int], most: int = MOST_TREES) -> list[int]:
    """The tokens to draw, numbered in the order of learning: long real words, of each script in turn.

    With ``uses`` they are the longest among the most frequent; without, the longest of the vocabulary.
    """
    by_script: dict[str, list[int]] = {}
    learned = tokenizer.vocabulary.learned_bytes
    public = tokenizer.vocabulary.public_ids()
    for token in range(BYTES, len(learned)):
        script = script_of_word(learned[token])
        if script and (not uses or uses.get(public[token], 0) > 1):
            by_script.setdefault(script, []).append(token)
    ranked: list[list[int]] = []
    for tokens in by_script.values():
        if uses:
            tokens = sorted(tokens, key=lambda token: -uses.get(public[token], 0))[:MOST_FREQUENT]
        of_words = {learned[token]: token for token in sorted(tokens, key=lambda token: -len(learned[token]))}
        ranked.append([of_words[word] for word in different_words(of_words, most)])
    ranked.sort(key=len, reverse=True)
    turns = [tokens[turn] for turn in range(most) for tokens in ranked if turn < len(tokens)]
    return turns[:most]


def script_of_word(raw: bytes) -> str:
    """The script of a token that is one real word of several merges, perhaps with a space before; empty for others."""
    if not FEWEST_MERGES < len(raw) <= LONGEST_TREE or not is_text(raw):
        return ""
    word = raw.decode("utf-8").removeprefix(" ")
    script = dominant_script(word)
    shortest = 2 if script in WITHOUT_SPACES else 3
    letters = len(word) >= shortest and script in BLOCKS and all(dominant_script(letter) == script for letter in word)
    return script if letters and not repeats_itself(raw) else ""


def tree_of(tokenizer: Tokenizer, token: int, first: int = 0) -> Node:
    """The tree of a token, whose number is that of the order of learning."""
    raw = tokenizer.vocabulary.learned_bytes[token]
    if token < BYTES:
        return Node(token, raw, first)
    left, right = tokenizer.merges[token - BYTES]
    left_tree = tree_of(tokenizer, left, first)
    return Node(token, raw, first, (left_tree, tree_of(tokenizer, right, first + len(left_tree.raw))))


def nodes_of(tree: Node) -> list[Node]:
    """All nodes, the parts of a node before it."""
    return [node for child in tree.children for node in nodes_of(child)] + [tree]


def tree_drawing(tokenizer: Tokenizer, token: int, identity: str) -> str:
    """The drawing of one token; ``identity`` must be unique on the page."""
    tree = tree_of(tokenizer, token)
    nodes = nodes_of(tree)
    width = 2 * MARGIN + SLOT * len(tree.raw)
    height = 2 * MARGIN + ROW * tree.height + NODE_HEIGHT
    public = tokenizer.vocabulary.public_ids()
    merged = sorted((node for node in nodes if node.children), key=lambda node: node.token)
    steps = "; ".join(
        f"merge {node.token - BYTES + 1}: {' + '.join(name_of(child.raw) for child in node.children)}"
        for node in merged
    )
    lines = "".join(
        f'<path class="tree-line" d="M{node.centre:g} {node_top(node, tree) + NODE_HEIGHT}'
        f'V{node_top(node, tree) + NODE_HEIGHT + 9:g}H{child.centre:g}V{node_top(child, tree)}"/>'
        for node in nodes
        for child in node.children
    )
    boxes = "".join(draw_node(node, tree, public[node.token]) for node in nodes)
    return (
        f'<svg class="tree" viewBox="0 0 {width} {height}" style="width:{width}px" role="img" '
        f'aria-labelledby="{identity}-title {identity}-text">'
        f'<title id="{identity}-title">How {escape(name_of(tree.raw))} came to be</title>'
        f'<desc id="{identity}-text">{escape(steps)}</desc>{lines}{boxes}</svg>'
    )


def node_top(node: Node, tree: Node) -> int:
    """Where a node begins from top to bottom: every byte stands at the bottom."""
    return MARGIN + ROW * (tree.height - node.height)


def draw_node(node: Node, tree: Node, public_id: int) -> str:
    """A box with the text of the token, and under it the number of its merge, or the byte in hexadecimal."""
    words = name_of(node.raw)
    small = f"{whole(node.token - BYTES + 1)}" if node.children else node.raw.hex()
    style = "root" if node is tree else "merge" if node.children else "byte"
    span = SLOT * len(node.raw) - 4
    size = min(span, max(CHARACTER * len(words) + 14, 6.2 * len(small) + 10, 26))
    top = node_top(node, tree)
    is_byte_of_letter = not node.children and node.raw[0] >= 0x80
    upper = "" if is_byte_of_letter else tree_text(node.centre, top + 16, words, "tree-name")
    lower = tree_text(node.centre, top + (22 if is_byte_of_letter else 30), small, "tree-step")
    return (
        f'<g><title>token {public_id}</title><rect class="tree-{style}" x="{node.centre - size / 2:g}" y="{top}" '
        f'width="{size:g}" height="{NODE_HEIGHT}" rx="7"/>{upper}{lower}</g>'
    )


def tree_text(x: float, y: float, words: str, style: str) -> str:
    """Centred text."""
    return f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="middle">{escape(words)}</text>'


def name_of(raw: bytes) -> str:
    """The text of a token in one line, white space made visible; its bytes where it is not whole characters."""
    return raw.decode("utf-8").translate(VISIBLE) if is_text(raw) else raw.hex(" ")
