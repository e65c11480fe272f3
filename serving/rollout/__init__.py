"""`python -m serving.rollout`: a canary's share of the traffic, by steps, judged on live metrics."""
