"""Pretrained starts, and scores that say which may be the best one."""
