"""What stands beside a finetuned model: the ways that need no language model, and the figures of all of them.

- ``words``     a text to words, in any script
- ``by_hand``   features that somebody would think of: trigger words, exclamation marks, capitals, links …
- ``baseline``  these, and TF-IDF, with logistic regression; who always says the most frequent class
- ``figures``   probabilities and true classes to what a report tells
"""
