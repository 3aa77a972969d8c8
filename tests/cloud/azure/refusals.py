"""Azure's refusals, as published in its documentation and in people's reports."""

from __future__ import annotations

import json

from elastron.errors import (
    CloudBusyError,
    CloudError,
    LoginError,
    NameTakenError,
    NotAllowedError,
    NotOfferedError,
    QuotaError,
)

_LINK = (
    "Submit a request for Quota increase at https://aka.ms/ProdportalCRP/#blade/Microsoft_Azure_"
    "Capacity/UsageAndQuota.ReactView/Parameters/%7B%22subscriptionId%22:%22xx%22%7D by "
    "specifying parameters listed in the ‘Details’ section for deployment to succeed. Please "
    "read more about quota limits at https://docs.microsoft.com/azure/azure-supportability/"
)


def arm(code, message, **more):
    return {"error": {"code": code, "message": message, **more}}


def aks(code, message):
    return {"code": code, "details": None, "message": message, "subcode": ""}


#: HTTP status, body, kind of our error, and words that it must have.
REFUSALS = {
    "regional cores": (
        409,
        arm(
            "OperationNotAllowed",
            "Operation could not be completed as it results in exceeding approved Total Regional "
            "Cores quota. Additional details - Deployment Model: Resource Manager, Location: "
            "KoreaSouth, Current Limit: 50, Current Usage: 50, Additional Required: 2, (Minimum) "
            "New Limit Required: 52. Setup Alerts when Quota reaches threshold. Learn more at "
            f"https://aka.ms/quotamonitoringalerting . {_LINK}",
        ),
        QuotaError,
        ["Total Regional Cores in KoreaSouth: limit 50, in use 50, 2 more needed", "`max`"],
    ),
    "cores of a family, of a scale set": (
        409,
        arm(
            "OperationNotAllowed",
            "Operation could not be completed as it results in exceeding approved "
            "standardDASv5Family Cores quota. Additional details - Deployment Model: Resource "
            "Manager, Location: eastus, Current Limit: 100, Current Usage: 96, Additional "
            f"Required: 64, (Minimum) New Limit Required: 160. {_LINK}",
        ),
        QuotaError,
        ["standardDASv5Family Cores in eastus: limit 100"],
    ),
    "cores of a family, of a cluster": (
        400,
        aks(
            "ErrCode_InsufficientVCPUQuota",
            "Insufficient vcpu quota requested 2, remaining 0 for family StandardDasv7Family for "
            "region eastus. Surge nodes would also consume vcpu quota.",
        ),
        QuotaError,
        ["StandardDasv7Family in eastus: 0 left, 2 needed"],
    ),
    "regional cores, of a cluster": (
        400,
        aks(
            "ErrCode_InsufficientVCPUQuota",
            "Insufficient regional vcpu quota left for location westus2. left regional vcpu quota "
            "4, requested quota 6. If you want to increase the quota, please follow this "
            "instruction: https://learn.microsoft.com/en-us/azure/quotas/view-quotas.",
        ),
        QuotaError,
        ["in westus2: 4 left, 6 needed"],
    ),
    "inside a template's validation": (
        400,
        arm(
            "InvalidTemplateDeployment",
            "The template deployment 'cluster-stamp' is not valid according to the validation "
            "procedure. The tracking id is 'ab597510-5dcb-4007-beb7-e762315f0f50'. See inner "
            "errors for details.",
            details=[
                {
                    "code": "QuotaExceeded",
                    "message": "Provisioning of resource(s) for container service aks-53yrp in "
                    "resource group rg-bu0001a0008 failed. Message: Operation could not be "
                    "completed as it results in exceeding approved Total Regional Cores quota. "
                    "Additional details - Deployment Model: Resource Manager, Location: eastus2, "
                    "Current Limit: 10, Current Usage: 0, Additional Required: 14, (Minimum) New "
                    "Limit Required: 14.",
                }
            ],
        ),
        QuotaError,
        ["QuotaExceeded", "Total Regional Cores in eastus2: limit 10, in use 0, 14 more needed"],
    ),
    "older words for cores": (
        409,
        arm(
            "OperationNotAllowed",
            "Operation results in exceeding quota limits of Core. Maximum allowed: 20, Current in "
            "use: 20, Additional requested: 2.",
        ),
        QuotaError,
        ["Maximum allowed: 20"],
    ),
    "public addresses": (
        400,
        arm(
            "PublicIPCountLimitReached",
            "Cannot create more than 10 public IP addresses for this subscription in this region.",
        ),
        QuotaError,
        ["more than 10", "az network public-ip list"],
    ),
    "a size that is not for this subscription": (
        400,
        aks(
            "BadRequest",
            "The VM size of Standard_D2_v2 is not allowed in your subscription in location "
            "'eastus'. The available VM sizes are 'standard_b16pls_v2,standard_b16ps_v2'. For "
            "more details, please visit https://aka.ms/cpu-quota",
        ),
        NotOfferedError,
        ["Standard_D2_v2 in eastus", "az vm list-skus -l eastus"],
    ),
    "a size that the region lacks": (
        409,
        arm(
            "SkuNotAvailable",
            "The requested size for resource '/subscriptions/x/virtualMachines/vm' is currently "
            "not available in location 'centralus' zones '' for subscription 'x'. Please try "
            "another size or deploy to a different location or zones. See "
            "https://aka.ms/azureskunotavailable for details.",
        ),
        NotOfferedError,
        ["not available in location 'centralus'", "`vm_size`"],
    ),
    "no machines left in a zone": (
        400,
        arm(
            "ZonalAllocationFailed",
            "Allocation failed. We do not have sufficient capacity for the requested VM size in "
            "this zone. Read more about improving likelihood of allocation success at "
            "http://aka.ms/allocation-guidance",
        ),
        NotOfferedError,
        ["sufficient capacity", "`zones`"],
    ),
    "a region without zones": (
        400,
        aks(
            "AvailabilityZoneNotSupported",
            "Preflight validation check for resource(s) for container service failed. The zone(s) "
            "'1' for resource 'system' is not supported. The supported zones for location "
            "'northcentralus' are ''",
        ),
        NotOfferedError,
        ["northcentralus", "`zones`"],
    ),
    "a policy, with its names": (
        403,
        arm(
            "RequestDisallowedByPolicy",
            "Resource 'usVMVNET' was disallowed by policy. Policy identifiers: "
            '\'[{"policyAssignment":{"name":"1RYdDsXlROaC_4mhp0_JMA","id":"/subscriptions/x"},'
            '"policyDefinition":{"name":"Allowed locations"}}]\'.',
            target="usVMVNET",
            additionalInfo=[
                {
                    "type": "PolicyViolation",
                    "info": {
                        "policyDefinitionDisplayName": "Allowed locations",
                        "policyAssignmentDisplayName": "Only in Europe",
                    },
                }
            ],
        ),
        NotAllowedError,
        ["`Only in Europe`", "usVMVNET", "exemption"],
    ),
    "a policy, named in the text alone": (
        403,
        arm(
            "RequestDisallowedByPolicy",
            "Resource 'azpolicy-check-rg' was disallowed by policy. Policy identifiers: "
            '\'[{"policyAssignment":{"name":"Standard Policies","id":"/x"}}]\'.',
        ),
        NotAllowedError,
        ["`Standard Policies`"],
    ),
    "no permission": (
        403,
        arm(
            "AuthorizationFailed",
            "The client 'me@example.org' with object id '0' does not have authorization to perform "
            "action 'Microsoft.Resources/subscriptions/resourcegroups/write' over scope "
            "'/subscriptions/x/resourcegroups/mr-rg' or the scope is invalid. If access was "
            "recently granted, please refresh your credentials.",
        ),
        NotAllowedError,
        ["Microsoft.Resources/subscriptions/resourcegroups/write on /subscriptions/x/res"],
    ),
    "no permission on something linked": (
        403,
        arm(
            "LinkedAuthorizationFailed",
            "The client 'x' with object id 'x' has permission to perform action "
            "'Microsoft.ContainerService/managedClusters/write' on scope '/subscriptions/x/mr'; "
            "however, it does not have permission to perform action(s) "
            "'Microsoft.Network/virtualNetworks/subnets/join/action' on the linked scope(s) "
            "'/subscriptions/x/subnets/nodes' or the linked scope(s) are invalid.",
        ),
        NotAllowedError,
        ["subnets/join/action on /subscriptions/x/subnets/nodes"],
    ),
    "not registered": (
        409,
        arm(
            "MissingSubscriptionRegistration",
            "The subscription is not registered to use namespace 'Microsoft.ContainerRegistry'. "
            "See https://aka.ms/rps-not-found for how to register subscriptions.",
        ),
        NotAllowedError,
        ["az provider register --namespace Microsoft.ContainerRegistry --wait"],
    ),
    "a disabled subscription": (
        409,
        arm(
            "ReadOnlyDisabledSubscription",
            "The subscription '3bb6fd82-796d-4ad5-87f0-4d9d47d09ae6' is disabled and therefore "
            "marked as read only. You cannot perform any write actions on this subscription until "
            "it is re-enabled.",
        ),
        NotAllowedError,
        ["disabled", "payment"],
    ),
    "a lock": (
        409,
        arm(
            "ScopeLocked",
            "The scope '/subscriptions/x/resourceGroups/mr-rg' cannot perform delete operation "
            "because following scope(s) are locked: '/subscriptions/x'. Please remove the lock "
            "and try again.",
        ),
        NotAllowedError,
        ["az lock list"],
    ),
    "a storage account's name, several levels down": (
        400,
        arm(
            "InvalidTemplateDeployment",
            "Not valid according to the validation procedure.",
            details=[
                {
                    "code": "PreflightValidationCheckFailed",
                    "message": "Preflight validation failed.",
                    "details": [
                        {
                            "code": "StorageAccountAlreadyTaken",
                            "message": "The storage account named foo is already taken.",
                            "target": "foo",
                        }
                    ],
                }
            ],
        ),
        NameTakenError,
        ["named foo", "`storage.account`"],
    ),
    "a registry's name": (
        409,
        arm("AlreadyInUse", "The registry DNS name mr.azurecr.io is already in use."),
        NameTakenError,
        ["mr.azurecr.io"],
    ),
    "a group in another place": (
        409,
        arm(
            "InvalidResourceGroupLocation",
            "Invalid resource group location 'westus2'. The Resource group already exists in "
            "location 'eastus'.",
        ),
        NameTakenError,
        ["'eastus'"],
    ),
    "an old login": (
        401,
        arm(
            "ExpiredAuthenticationToken",
            "The access token expiry UTC time '12/1/2025 1:00:00 AM' is earlier than current UTC "
            "time '12/1/2025 2:00:00 AM'.",
        ),
        LoginError,
        ["az login"],
    ),
    "an old login, by Entra": (
        400,
        {
            "error": "invalid_grant",
            "error_description": "AADSTS70043: The refresh token has expired or is invalid due to "
            "sign-in frequency checks by conditional access. Trace ID: 1 Correlation ID: 2",
            "error_codes": [70043],
        },
        LoginError,
        ["AADSTS70043", "az login"],
    ),
    "an old secret": (
        401,
        {
            "error": "invalid_client",
            "error_description": "AADSTS7000222: The provided client secret keys are expired.",
        },
        LoginError,
        ["AZURE_CLIENT_SECRET"],
    ),
    "no such subscription": (
        404,
        arm("SubscriptionNotFound", "The subscription 'x' could not be found."),
        LoginError,
        ["az account list"],
    ),
    "a cluster under way": (
        409,
        aks(
            "OperationNotAllowed",
            "Operation is not allowed because there's an in-progress create node pool operation "
            "on the managed cluster started at 2025-01-01T00:00:00Z.",
        ),
        CloudBusyError,
        ["in-progress create node pool"],
    ),
    "another operation": (
        429,
        arm(
            "AnotherOperationInProgress",
            "Another operation on this or dependent resource is in progress.",
        ),
        CloudBusyError,
        ["in progress"],
    ),
    "a new identity": (
        400,
        arm(
            "PrincipalNotFound",
            "Principal 0 does not exist in the directory x. Check that you have the correct "
            "principal ID.",
        ),
        CloudBusyError,
        ["not known everywhere yet"],
    ),
    "throttled": (
        429,
        arm("TooManyRequests", "The request is being throttled."),
        CloudBusyError,
        [],
    ),
    "JSON in a message": (
        409,
        {
            "status": "Failed",
            "error": {
                "code": "DeploymentFailed",
                "message": "At least one resource deployment operation failed.",
                "details": [
                    {
                        "code": "Conflict",
                        "message": json.dumps(
                            {
                                "status": "Failed",
                                "error": {
                                    "code": "ResourceDeploymentFailure",
                                    "message": "terminal provisioning state 'Failed'.",
                                    "details": [
                                        {
                                            "code": "AKSCapacityHeavyUsage",
                                            "message": "AKS is experiencing heavy usage in "
                                            "region eastus.",
                                        }
                                    ],
                                },
                            }
                        ),
                    }
                ],
            },
        },
        NotOfferedError,
        ["AKSCapacityHeavyUsage", "heavy usage"],
    ),
    "an inner error": (
        400,
        arm("BadArgument", "Multiple errors", innererror={"code": "SubnetIsFull", "message": ""}),
        CloudError,
        ["SubnetIsFull", "`network`"],
    ),
    "a size without room for the system disk": (
        400,
        aks("VMCannotFitEphemeralOSDisk", "The requested OS disk size is too large."),
        NotOfferedError,
        ["`os_disk_gb`"],
    ),
    "an old kind of gateway": (
        400,
        arm(
            "NonAzSkusNotAllowedForVPNGateway",
            "VpnGw1-5 non-AZ SKUs are no longer supported for new deployments.",
        ),
        NotOfferedError,
        ["VpnGw1AZ"],
    ),
}
