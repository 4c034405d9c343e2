"""Rewards and rows for trainers: verl and TRL. Neither of them is imported here."""
