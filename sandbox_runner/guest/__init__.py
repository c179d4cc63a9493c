"""All that runs inside the sandbox: loads one candidate, trains it, answers batches of unlabelled images.

Nothing here is trusted once the candidate's first line has run. The host believes exact bytes and its own
clocks only, so these modules aim at precise errors for honest candidates; they keep no secrets from bad ones.
"""
