"""Bringing a fleet to clusters and clouds, through their own tools and APIs."""
