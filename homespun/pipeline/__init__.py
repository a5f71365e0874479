"""The whole way in one command: corpus, tokenizer, shards, plan, training, samples, report.

Each stage leaves a whole folder or file in the run folder, or nothing; so a run that was stopped
anywhere goes on from the first stage that has left nothing.
"""
