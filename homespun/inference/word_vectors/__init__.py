"""What word vectors say: nearest words, analogies, how well they agree with people, and a plane to draw them on.

- ``nearest``    words by the angle between their vectors; "man is to king as woman is to ..."
- ``questions``  files of analogies and of judged pairs
- ``evaluate``   the share of analogies that come out right; rank correlation with people's judgements
- ``plane``      vectors to two dimensions
"""
