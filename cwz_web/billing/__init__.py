"""What workspaces pay for: plans, and Stripe, which takes the money. In: what a plan has room for, and keeping what we
know of a subscription equal to what Stripe knows. Not in: counting images (generation/usage.py)."""
