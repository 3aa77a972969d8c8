"""The zip that Azure makes for VPN clients, as Microsoft's pages show it."""

from __future__ import annotations

import io
import zipfile

SERVER = "azuregateway-11fc0062-1773-4d1c-9b60-72706ded574e-3ada87e0fd39.vpn.azure.com"
GATEWAY = "11fc0062-1773-4d1c-9b60-72706ded574e.vpn.azure.com"
TEMPLATE = f"""client\r
remote {SERVER} 443\r
verify-x509-name '{GATEWAY}' name\r
remote-cert-tls server\r
\r
dev tun\r
proto tcp\r
resolv-retry infinite\r
nobind\r
\r
auth SHA256\r
cipher AES-256-GCM\r
persist-key\r
persist-tun\r
\r
tls-timeout 30\r
tls-version-min 1.2\r
key-direction 1\r
\r
log openvpn.log\r
verb 3\r
\r
# P2S client certificate\r
# please fill this field with a PEM formatted cert\r
<cert>\r
$CLIENTCERTIFICATE\r
</cert>\r
\r
# P2S client root certificate private key\r
# please fill this field with a PEM formatted key\r
<key>\r
$PRIVATEKEY\r
</key>\r
"""
SETTINGS = f"""<?xml version="1.0" encoding="utf-8"?>
<VpnProfile xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <VpnServer>{SERVER}</VpnServer>
  <VpnType>OpenVPN</VpnType>
  <CaCert>x</CaCert>
  <Routes>10.224.0.0/16,172.16.201.0/24</Routes>
  <Auth>EAPTLS</Auth>
</VpnProfile>
"""


def package_zip(*, template: str | None = TEMPLATE, settings: str | None = SETTINGS) -> bytes:
    """The zip; None leaves a part out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        if template is not None:
            package.writestr("OpenVPN/vpnconfig.ovpn", template)
        if settings is not None:
            package.writestr("Generic/VpnSettings.xml", settings)
        package.writestr("Generic/VpnServerRoot.cer_0", b"DER")
        package.writestr("WindowsAmd64/VpnClientSetupAmd64.exe", b"MZ")
    return buffer.getvalue()
