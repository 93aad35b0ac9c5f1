"""Numerical engines that areas share."""
