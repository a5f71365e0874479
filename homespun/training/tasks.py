"""What there is to learn, by name: one line each. A model's settings say which is theirs (``ModelConfig.task``)."""

from homespun.training.answers import Answers
from homespun.training.continued import Continued
from homespun.training.image_classes import ImageClasses
from homespun.training.losses import NextToken, Task, Translation
from homespun.training.masked import Masked, MaskedPairs
from homespun.training.paired import Paired
from homespun.training.preferences import Preferences
from homespun.training.text_classes import TextClasses

TASKS: dict[str, Task] = {
    "images": ImageClasses(),
    "next_token": NextToken(),
    "masked": Masked(),
    "masked_pairs": MaskedPairs(),
    "translation": Translation(),
    "text_classes": TextClasses(),
    "answers": Answers(),
    "pairs": Paired(),
    "preferences": Preferences(),
    "continued": Continued(),
}
