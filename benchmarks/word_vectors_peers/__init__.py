"""The parts of ``word2vec_vs_gensim.py``."""
