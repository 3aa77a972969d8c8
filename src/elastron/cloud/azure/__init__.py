"""Elastron on Azure Kubernetes Service."""
