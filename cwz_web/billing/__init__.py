"""Plans and payments: what a plan allows, and a workspace's subscription kept in sync with Stripe.

Counting images is not here but in generation/usage.py.
"""
