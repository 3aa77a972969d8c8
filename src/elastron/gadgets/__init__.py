"""Streaming steps, one file a gadget, named as the Gadgetron names them."""
