"""What we say of Azure's refusals."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.cloud.azure.problem_rules import RULES
from elastron.cloud.azure.problems import no_token, read_problem, to_error
from elastron.errors import (
    CloudBusyError,
    CloudError,
    LoginError,
    NameTakenError,
    NotAllowedError,
)
from tests.cloud.azure.refusals import REFUSALS, arm


@pytest.mark.parametrize("name", REFUSALS)
def test_known_refusals(name):
    status, body, kind, words = REFUSALS[name]
    error = to_error(status, json.dumps(body).encode(), doing="creating the node pool gpu")
    assert type(error) is kind, error
    assert error.code
    assert str(error).startswith("Creating the node pool gpu")
    for word in words:
        assert word in str(error)
    assert "aka.ms/Prodportal" not in str(error)
    assert "{" not in str(error)
    assert len(str(error)) < 1000


@pytest.mark.parametrize("as_what", [bytes, str, dict])
def test_any_form_of_body(as_what):
    body = arm("StorageAccountAlreadyTaken", "The storage account named foo is already taken.")
    text = json.dumps(body)
    given_as = {bytes: text.encode(), str: text, dict: body}[as_what]
    assert isinstance(to_error(409, given_as, doing="x"), NameTakenError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, LoginError),
        (403, NotAllowedError),
        (404, CloudError),
        (429, CloudBusyError),
        (500, CloudBusyError),
        (503, CloudBusyError),
        (400, CloudError),
        (None, CloudError),
    ],
)
def test_unknown_refusals_go_by_their_status(status, kind):
    error = to_error(status, arm("Novel", "Never seen"), doing="deleting the group")
    assert type(error) is kind
    assert error.code == "Novel"
    assert "Deleting the group failed" in str(error)
    assert "Never seen." in str(error)


@pytest.mark.parametrize("body", [None, b"", b"{}", b"null", b"[1]", b"{", {"error": None}])
def test_no_reason_is_said_so(body):
    error = to_error(400, body, doing="asking")
    assert "Asking failed (HTTP 400)" in str(error)


def test_plain_text_and_xml():
    assert "upstream went away." in str(to_error(502, b"upstream went away", doing="asking"))
    xml = (
        b'<?xml version="1.0"?><Error><Code>AuthorizationPermissionMismatch</Code>'
        b"<Message>This request is not authorized.</Message></Error>"
    )
    error = to_error(403, xml, doing="writing a blob")
    assert isinstance(error, NotAllowedError)
    assert "Storage Blob Data Contributor" in str(error)


CHAIN = (
    "DefaultAzureCredential failed to retrieve a token from the included credentials.\n"
    "Attempted credentials:\n\tEnvironmentCredential: EnvironmentCredential authentication "
    "unavailable. Environment variables are not fully configured.\n\tAzureCliCredential: {}\n"
    "To mitigate this issue, please refer to the troubleshooting guidelines here at https://aka.ms"
)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (CHAIN.format("Please run 'az login' to set up an account"), "Nobody is logged in"),
        (CHAIN.format("Azure CLI not found on path"), "Nobody is logged in"),
        (
            CHAIN.format(
                "ERROR: AADSTS70043: The refresh token has expired or is invalid due to sign-in "
                "frequency checks by conditional access. Trace ID: 1 Correlation ID: 2"
            ),
            "the login has ended (AADSTS70043). Log in again: az login.",
        ),
        (
            "Authentication failed: AADSTS7000222: The provided client secret keys for app 'x' are "
            "expired.",
            "AZURE_CLIENT_SECRET",
        ),
        (CHAIN.format("AADSTS99999999: Something new."), "Something new."),
        ("The managed identity endpoint said 500", "The managed identity endpoint said 500."),
    ],
)
def test_credentials_that_give_no_token(said, words):
    error = no_token(said)
    assert isinstance(error, LoginError)
    assert words in str(error)
    assert "az login" in str(error)
    assert len(str(error)) < 500


def test_no_code_is_meant_twice_by_the_code_alone():
    plain = [code for rule in RULES if not rule.pattern for code in rule.codes]
    assert sorted(plain) == sorted(set(plain))


def test_every_template_can_be_filled():
    for rule in RULES:
        groups = dict.fromkeys(rule._compiled.groupindex, "x")
        text = (rule.title + rule.advice).format_map({"policies": "p", **groups})
        assert "{" not in text


def test_endless_nesting_ends():
    body: dict[str, object] = {"code": "StorageAccountAlreadyTaken", "message": "deep"}
    for _ in range(200):
        body = {"error": {"code": "Outer", "message": "failed", "details": [body] * 3}}
    assert to_error(400, body, doing="x").code == "Outer"
    wrapped: dict[str, object] = {"code": "C", "message": "m"}
    for _ in range(200):
        wrapped = {"error": wrapped}
    read_problem(wrapped)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "code",
                    "Code",
                    "message",
                    "details",
                    "innererror",
                    "additionalInfo",
                    "info",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(body=_JSON, status=st.sampled_from([None, 400, 401, 403, 409, 429, 500]))
def test_whatever_comes_there_is_an_error(body, status):
    error = to_error(status, json.dumps(body), doing="trying")
    assert isinstance(error, CloudError)
    assert str(error).startswith("Trying")
    assert len(str(error)) < 2000
