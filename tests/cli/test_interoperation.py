"""Clients that are not ours against our server; readers that are not ours on our files."""

from __future__ import annotations

import socket

import ismrmrd
import numpy as np
from ismrmrd.serialization import ConfigFile, ConfigText, ProtocolDeserializer, ProtocolSerializer

from elastron.client import parse_address
from tests.cli.conftest import BRAIN, PATIENCE_S


def send_with_ismrmrd(address: str, config: str) -> list:
    """Send the brain scan with the `ismrmrd` package alone; what comes back."""
    with socket.create_connection(parse_address(address), timeout=PATIENCE_S) as sock:
        with (
            sock.makefile("wb") as outgoing,
            ismrmrd.Dataset(BRAIN, create_if_needed=False) as scan,
        ):
            writer = ProtocolSerializer(outgoing)
            writer.serialize(config)
            writer.serialize(ismrmrd.xsd.CreateFromDocument(scan.read_xml_header()))
            for number in range(scan.number_of_acquisitions()):
                writer.serialize(scan.read_acquisition(number))
            writer.close()
        with sock.makefile("rb") as incoming:
            return list(ProtocolDeserializer(incoming).deserialize())


def test_the_ismrmrd_packages_client_gets_the_same_image(run, server):
    run("send", BRAIN, "-a", server.address, "-o", "out.h5", "-G", "g")
    (theirs,) = send_with_ismrmrd(server.address, ConfigFile("default.xml"))
    with ismrmrd.Dataset("out.h5", "g", create_if_needed=False) as file:
        assert file.number_of_images("image_0") == 1
        ours = file.read_image("image_0", 0)
    np.testing.assert_array_equal(ours.data, theirs.data)
    assert bytes(ours.getHead()) == bytes(theirs.getHead())


def test_the_ismrmrd_packages_client_may_send_a_config(run, server):
    xml = run("configs", "default.xml").stdout
    (image,) = send_with_ismrmrd(server.address, ConfigText(xml))
    assert image.data.shape == (1, 1, 128, 128)


def test_the_ismrmrd_packages_client_hears_errors(server):
    (text,) = send_with_ismrmrd(server.address, ConfigFile("nix.xml"))
    assert "ERROR" in text
    assert "nix.xml" in text


def test_the_ismrmrd_package_reads_our_phantoms(run):
    run("phantom", "a.h5", "-m", 32, "-c", 4, "--noise-scan")
    with ismrmrd.Dataset("a.h5", create_if_needed=False) as scan:
        header = ismrmrd.xsd.CreateFromDocument(scan.read_xml_header())
        assert header.encoding[0].reconSpace.matrixSize.x == 32
        first = scan.read_acquisition(0)
        assert first.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        last = scan.read_acquisition(scan.number_of_acquisitions() - 1)
    assert last.data.shape == (4, 64)
    assert last.is_flag_set(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
